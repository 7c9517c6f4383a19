#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/launch.h"
#include "kernels/step/advance.h"

namespace quern::kernels {
namespace {

constexpr int kAdvanceThreads = 256;

// SequenceStatus of graph/step.h.
constexpr std::int32_t kRunning = 0;
constexpr std::int32_t kStop = 1;
constexpr std::int32_t kLimit = 2;
constexpr std::int32_t kError = 3;

/// Advances a running sequence's cache length and next position by the step's tokens.
__device__ void move_over_tokens(const AdvanceParams& p, int seq) {
  const int row = p.state_index[seq];
  const int end = p.cu_seqlens_q[seq + 1];
  const int q_len = end - p.cu_seqlens_q[seq];
  if (q_len == 0 || p.finished[row] != kRunning) return;
  if (seq < p.num_decode_seqs) {
    p.kv_len[row] += q_len;
    p.position[row] += q_len;
  } else {
    p.kv_len[row] = p.kv_lens[seq];
    p.position[row] = p.positions[end - 1] + 1;
  }
}

__device__ std::int32_t status_after(const AdvanceParams& p, int row, std::int32_t token) {
  const SamplingRow& sampling = p.sampling[row];
  for (int i = 0; i < sampling.num_eos_token_ids; ++i) {
    if (sampling.eos_token_ids[i] == token) return kStop;
  }
  return p.generated[row] >= p.max_tokens[row] ? kLimit : kRunning;
}

__device__ void end_sequence(const AdvanceParams& p, int row, std::int32_t status) {
  p.finished[row] = status;
  atomicAdd(p.num_finished, 1);
}

/// Appends Sample's token to the sequence and checks its finish conditions; a SampleError finishes
/// it too.
__device__ void append_token(const AdvanceParams& p, int row, std::int32_t* ring_tokens) {
  const std::int32_t token = p.last_token[row];
  ring_tokens[row] = token;
  if (token < 0) {
    p.last_token[row] = 0;
    end_sequence(p, row, kError);
    return;
  }
  const std::int64_t length = std::int64_t{p.prompt_len[row]} + p.generated[row];
  if (length < p.history_stride) p.history[row * p.history_stride + length] = token;
  ++p.generated[row];
  const std::int32_t status = status_after(p, row, token);
  if (status != kRunning) end_sequence(p, row, status);
}

/// Publishes the step's ring row to the host after all threads have written it.
__device__ void publish(const AdvanceParams& p, std::int64_t head) {
  __threadfence_system();
  *static_cast<volatile std::int64_t*>(p.ring_published) = head;
}

/// Number of the step's sequences that are still running; for the whole block.
__device__ int count_running(const AdvanceParams& p) {
  int running = 0;
  for (int first = 0; first < p.num_seqs; first += kAdvanceThreads) {
    const int seq = first + static_cast<int>(threadIdx.x);
    running += __syncthreads_count(seq < p.num_seqs && p.finished[p.state_index[seq]] == kRunning);
  }
  return running;
}

/// Sets the loop's condition.
__device__ void set_loop_condition(const AdvanceParams& p, int running) {
  const std::int32_t steps_left = --*p.loop_steps_left;
  const bool stop_requested = *static_cast<const volatile std::int32_t*>(p.loop_stop_requested);
  const bool goes_on = steps_left > 0 && running > *p.loop_stop_at_running && !stop_requested;
  cudaGraphSetConditional(p.loop_condition, goes_on ? 1u : 0u);
}

/// Never triggers the dependent launch: it ends a step, and the next step's kernels read its
/// results before they wait (see attention_decode.cu).
__global__ void __launch_bounds__(kAdvanceThreads)
    advance_kernel(const __grid_constant__ AdvanceParams p) {
  wait_for_earlier_kernels();
  for (int seq = threadIdx.x; seq < p.num_seqs; seq += kAdvanceThreads) move_over_tokens(p, seq);
  if (p.num_logit_rows == 0) return;

  const std::int64_t head = *p.ring_head;
  std::int32_t* tokens = p.ring_tokens + head % p.ring_capacity * p.ring_max_seqs;
  for (int row = threadIdx.x; row < p.ring_max_seqs; row += kAdvanceThreads) tokens[row] = -1;
  __syncthreads();
  for (int i = threadIdx.x; i < p.num_logit_rows; i += kAdvanceThreads) {
    const int row = p.state_index[p.logit_seqs[i]];
    if (p.finished[row] == kRunning) append_token(p, row, tokens);
  }
  __syncthreads();
  const int running = p.loops ? count_running(p) : 0;
  if (threadIdx.x != 0) return;
  if (p.loops) set_loop_condition(p, running);
  *p.ring_head = head + 1;
  publish(p, head + 1);
}

}  // namespace

void advance(const AdvanceParams& params, cudaStream_t stream) {
  const LaunchShape shape{
      .grid = dim3(1), .block = dim3(kAdvanceThreads), .use_pdl = params.use_pdl};
  launch(advance_kernel, shape, stream, params);
}

}  // namespace quern::kernels
