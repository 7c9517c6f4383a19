#include "kernels/step/advance.h"

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/sampling_rows.h"

namespace quern::cuda {

void run_advance(const Advance&, const Step& step, const OpContext& context) {
  const BatchView& batch = step.batch;
  const SequenceState& state = step.state;
  if (batch.num_seqs == 0) return;
  kernels::AdvanceParams params;
  params.num_seqs = batch.num_seqs;
  params.num_decode_seqs = batch.num_decode_seqs;
  params.num_logit_rows = batch.num_logit_rows;
  params.state_index = batch.state_index;
  params.positions = batch.positions;
  params.cu_seqlens_q = batch.cu_seqlens_q;
  params.kv_lens = batch.kv_lens;
  params.logit_seqs = batch.logit_seqs;
  params.last_token = state.last_token;
  params.position = state.position;
  params.kv_len = state.kv_len;
  params.finished = state.finished;
  params.generated = state.generated;
  params.max_tokens = state.max_tokens;
  params.prompt_len = state.prompt_len;
  params.history = state.history;
  params.history_stride = state.history_stride;
  params.num_finished = state.num_finished;
  params.sampling = kernel_rows(step.sampling);
  params.ring_capacity = step.ring.capacity;
  params.ring_max_seqs = step.ring.max_seqs;
  params.ring_head = step.ring.head;
  params.ring_published = step.ring.published;
  params.ring_tokens = step.ring.tokens;
  if (context.loop_condition) {
    QUERN_CHECK(step.loop != nullptr && batch.num_logit_rows > 0);
    params.loops = true;
    params.loop_condition = *context.loop_condition;
    params.loop_steps_left = &step.loop->steps_left;
    params.loop_stop_at_running = &step.loop->stop_at_running;
    params.loop_stop_requested = &step.loop->stop_requested;
  }
  params.use_pdl = context.use_pdl;
  kernels::advance(params, context.stream);
}

}  // namespace quern::cuda
