#include "kernels/attention_append.h"
#include "kernels/common/attention.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/rope.cuh"

namespace quern::kernels {
namespace {

constexpr int kThreads = 256;

/// The sequence of a token row.
__device__ int sequence_of_row(const AttentionParams& p, int row) {
  int begin = 0;
  int end = p.num_seqs;
  while (end - begin > 1) {
    const int middle = (begin + end) / 2;
    (p.cu_seqlens_q[middle] <= row ? begin : end) = middle;
  }
  return begin;
}

/// A block a token; its warps share the heads.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    attention_append_kernel(const __grid_constant__ AttentionAppendParams params) {
  const AttentionParams& p = params.attention;
  __shared__ float2 rotation[kMaxRopePairs];
  const int row = params.first_seq + blockIdx.x;  // sequences before bring one token each
  const AttentionSequence s = sequence_of(p, sequence_of_row(p, row));
  if (!s.running) return;
  const int position = position_of(p, s, row);
  if (p.rope.num_pairs > 0) {
    fill_rotation(p.rope, alpha_of(p.rope, p.rope_alpha[s.state_row], s.kv_len), position,
                  rotation);
    __syncthreads();
  }
  const float scale = logn_scale(p, position);
  for (int head = threadIdx.x / 32; head < p.num_heads + p.num_kv_heads; head += kThreads / 32) {
    if (head < p.num_heads) {
      const std::int64_t at = (std::int64_t{row} * p.num_heads + head) * p.head_dim;
      prepare_head(p, qkv_head<T>(p, row, head), p.q_norm, rotation, scale,
                   static_cast<T*>(p.queries) + at);
    } else {
      append_kv_head<T>(p, s, row, head - p.num_heads, rotation);
    }
  }
}

}  // namespace

void attention_append(const AttentionAppendParams& params, cudaStream_t stream) {
  const int tokens = params.attention.num_tokens - params.first_seq;
  dispatch_float(params.attention.dtype, "attention_append", [&]<typename T>() {
    launch(attention_append_kernel<T>, {.grid = dim3(tokens), .block = dim3(kThreads)}, stream,
           params);
  });
}

}  // namespace quern::kernels
