#include <algorithm>

#include "backend/cpu/ops/ops.h"
#include "base/check.h"

namespace quern::cpu {
namespace {

bool is_eos(const SamplingRow& sampling, std::int32_t token) {
  const std::int32_t* end = sampling.eos_token_ids + sampling.num_eos_token_ids;
  return std::find(sampling.eos_token_ids, end, token) != end;
}

void end_sequence(const SequenceState& state, std::int32_t row, SequenceStatus status) {
  state.finished[row] = static_cast<std::int32_t>(status);
  ++*state.num_finished;
}

/// Appends Sample's token to the sequence and checks its finish conditions; a SampleError finishes
/// it too.
void append_token(const Step& step, std::int32_t row) {
  const SequenceState& state = step.state;
  const std::int32_t token = state.last_token[row];
  if (token < 0) {
    state.last_token[row] = 0;
    return end_sequence(state, row, SequenceStatus::error);
  }
  const std::int64_t length = std::int64_t{state.prompt_len[row]} + state.generated[row];
  QUERN_CHECK(length < state.history_stride, "token {} of a history of {}", length,
              state.history_stride);
  state.history[row * state.history_stride + length] = token;
  ++state.generated[row];

  if (is_eos(step.sampling[row], token)) {
    end_sequence(state, row, SequenceStatus::stop);
  } else if (state.generated[row] >= state.max_tokens[row]) {
    end_sequence(state, row, SequenceStatus::limit);
  }
}

/// Advances a running sequence's cache length and next position by the step's tokens.
void move_over_tokens(const Step& step, int seq) {
  const int q_len = step.q_len(seq);
  if (q_len == 0) return;
  const std::int32_t row = step.batch.state_index[seq];
  const int last = step.batch.cu_seqlens_q[seq + 1] - 1;
  step.state.kv_len[row] = step.kv_len(seq);
  step.state.position[row] =
      step.is_decode(seq) ? step.state.position[row] + q_len : step.position(seq, last) + 1;
}

}  // namespace

void run_advance(const Advance&, const Step& step) {
  const BatchView& batch = step.batch;
  for (int seq = 0; seq < batch.num_seqs; ++seq) {
    if (step.is_running(seq)) move_over_tokens(step, seq);
  }
  if (batch.num_logit_rows == 0) return;

  const OutputRing& ring = step.ring;
  std::int32_t* tokens = ring.tokens + *ring.head % ring.capacity * ring.max_seqs;
  std::fill(tokens, tokens + ring.max_seqs, -1);
  for (int i = 0; i < batch.num_logit_rows; ++i) {
    const int seq = batch.logit_seqs[i];
    if (!step.is_running(seq)) continue;
    const std::int32_t row = batch.state_index[seq];
    tokens[row] = step.state.last_token[row];
    append_token(step, row);
  }
  *ring.published = ++*ring.head;
}

}  // namespace quern::cpu
