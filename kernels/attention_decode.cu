#include <algorithm>

#include "kernels/attention_decode.h"
#include "kernels/common/attention.cuh"
#include "kernels/common/decode_warp.cuh"
#include "kernels/common/dispatch_attention.h"
#include "kernels/common/last_block.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/rope.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kBlocksPerMultiprocessor = 4;

/// How a sequence's visible slots are split.
struct Splits {
  int count = 0;
  int slots = 0;  ///< of each part but the last
};

__host__ __device__ inline Splits split(std::int64_t slots) {
  const std::int64_t units = (slots + kMinSplitSlots - 1) / kMinSplitSlots;
  const std::int64_t units_per_split = (units + kMaxSplits - 1) / kMaxSplits;
  if (units == 0) return {};
  return {static_cast<int>((units + units_per_split - 1) / units_per_split),
          static_cast<int>(units_per_split) * kMinSplitSlots};
}

/// Blocks of a sequence's kv head: its query heads, eight at a time.
__host__ __device__ inline int head_chunks(int num_heads, int num_kv_heads) {
  return (num_heads / num_kv_heads + kDecodeHeads - 1) / kDecodeHeads;
}

/// A softmax-weighted sum over some slots, before the division.
struct Part {
  float value;
  SoftmaxState state;
};

/// Merges `count` parts; part(i) gives the i-th.
template <typename PartAt>
__device__ Part merge(int count, const PartAt& part_at) {
  Part merged{0.0f, SoftmaxState::none()};
#pragma unroll 4
  for (int i = 0; i < count; ++i) {
    const Part part = part_at(i);
    merged.value *= merged.state.raise(part.state.exponent);
    const float scale = merged.state.scale_of(part.state);
    merged.value += scale * part.value;
    merged.state.sum += scale * part.state.sum;
  }
  return merged;
}

/// What one block works on: up to eight query heads of a kv head of a sequence.
struct HeadGroup {
  int seq = 0;
  int kv_head = 0;
  int first_head = 0;
  int count = 0;
};

__device__ HeadGroup head_group(const AttentionParams& p) {
  const int chunks = head_chunks(p.num_heads, p.num_kv_heads);
  const int group = p.num_heads / p.num_kv_heads;
  const int chunk = blockIdx.y % chunks;
  const int kv_head = blockIdx.y / chunks;
  return {static_cast<int>(blockIdx.z), kv_head, kv_head * group + chunk * kDecodeHeads,
          min(kDecodeHeads, group - chunk * kDecodeHeads)};
}

template <typename T, int kHeadDim>
struct SharedMemory {
  float2 rotation[kMaxRopePairs];
  alignas(16) T queries[kDecodeHeads][kHeadDim];
  float sums[kWarps][kDecodeHeads][kHeadDim];
  SoftmaxState states[kWarps][kDecodeHeads];
};

/// Brings the queries to shared memory and, if this block has the last slot, the new token into the
/// cache. Blocks of further query heads of the same kv head write the same bytes there.
template <typename T, int kHeadDim>
__device__ void prepare(const AttentionParams& p, const AttentionSequence& s,
                        const HeadGroup& heads, bool appends, SharedMemory<T, kHeadDim>& shared) {
  const int position = p.state_position[s.state_row];
  if (p.rope.num_pairs > 0) {
    fill_rotation(p.rope, alpha_of(p.rope, p.rope_alpha[s.state_row], s.kv_len), position,
                  shared.rotation);
    __syncthreads();
  }
  const float scale = logn_scale(p, position);
  for (int i = threadIdx.x / 32; i <= kDecodeHeads; i += kWarps) {
    if (i < heads.count) {
      prepare_head(p, qkv_head<T>(p, s.first_row, heads.first_head + i), p.q_norm, shared.rotation,
                   scale, shared.queries[i]);
    } else if (i < kDecodeHeads) {
      for (int d = threadIdx.x % 32; d < kHeadDim; d += 32) shared.queries[i][d] = T(0.0f);
    } else if (appends) {
      append_kv_head<T>(p, s, s.first_row, heads.kv_head, shared.rotation);
    }
  }
  __syncthreads();
}

/// grid: parts (several a block where there are more), kv heads by eight query heads, sequences.
template <typename T, int kHeadDim>
__global__ void __launch_bounds__(kThreads)
    attention_decode_kernel(const __grid_constant__ AttentionDecodeParams params) {
  const AttentionParams& p = params.attention;
  __shared__ SharedMemory<T, kHeadDim> shared;
  const HeadGroup heads = head_group(p);
  const AttentionSequence s = sequence_of(p, heads.seq);
  T* out = static_cast<T*>(p.out) +
           (std::int64_t{s.first_row} * p.num_heads + heads.first_head) * kHeadDim;
  const int elements = heads.count * kHeadDim;
  if (!s.running) {
    for (int i = threadIdx.x; blockIdx.x == 0 && i < elements; i += kThreads) out[i] = T(0.0f);
    return;
  }
  const int begin = first_visible(p, s.kv_len - 1);
  const Splits splits = split(s.kv_len - begin);
  const int blocks = min(static_cast<int>(gridDim.x), splits.count);
  if (blockIdx.x >= blocks) return;
  prepare(p, s, heads, (splits.count - 1) % blocks == blockIdx.x, shared);

  constexpr int kPartial = kHeadDim + 2;
  const auto partial = [&](int head, int index) {
    const std::int64_t row = std::int64_t{heads.seq} * p.num_heads + heads.first_head + head;
    return params.partials + (row * params.max_splits + index) * kPartial;
  };
  DecodeWarp<T, kHeadDim> warp(shared.queries[0]);
  const int warp_index = threadIdx.x / 32;
  for (int index = blockIdx.x; index < splits.count; index += blocks) {
    const int first = begin + index * splits.slots;
    const SlotRange range{first, min(s.kv_len, first + splits.slots)};
    warp.attend(p, {s.state_row, heads.kv_head}, range, warp_index, kWarps);
    warp.store(shared.sums[warp_index][0], shared.states[warp_index]);
    __syncthreads();
    for (int i = threadIdx.x; i < elements; i += kThreads) {
      const int head = i / kHeadDim;
      const int d = i % kHeadDim;
      const Part part = merge(kWarps, [&](int w) {
        return Part{shared.sums[w][head][d], shared.states[w][head]};
      });
      if (splits.count == 1) {
        out[i] = from_float<T>(part.value / part.state.sum);
      } else {
        float* destination = partial(head, index);
        destination[d] = part.value;
        if (d == 0) destination[kHeadDim] = part.state.exponent;
        if (d == 0) destination[kHeadDim + 1] = part.state.sum;
      }
    }
    __syncthreads();
  }
  if (splits.count == 1) return;

  const int counter = blockIdx.z * gridDim.y + blockIdx.y;
  if (!is_last_block(params.counters + counter, blocks)) return;
  for (int i = threadIdx.x; i < elements; i += kThreads) {
    const Part part = merge(splits.count, [&](int index) {
      const float* source = partial(i / kHeadDim, index);
      return Part{__ldcg(source + i % kHeadDim),
                  {__ldcg(source + kHeadDim), __ldcg(source + kHeadDim + 1)}};
    });
    out[i] = from_float<T>(part.value / part.state.sum);
  }
}

}  // namespace

bool attention_decode_supports(DType dtype, int head_dim) {
  return dtype != DType::float32 && has_mma_head_dim(head_dim);
}

int decode_splits(std::int64_t max_slots) {
  const std::int64_t units = (max_slots + kMinSplitSlots - 1) / kMinSplitSlots;
  return static_cast<int>(std::clamp<std::int64_t>(units, 1, kMaxSplits));
}

std::int64_t decode_partials(int num_heads, int head_dim, int max_splits) {
  return std::int64_t{num_heads} * max_splits * (head_dim + 2);
}

int decode_counters(int num_heads, int num_kv_heads) {
  return num_kv_heads * head_chunks(num_heads, num_kv_heads);
}

void attention_decode(const AttentionDecodeParams& params, cudaStream_t stream) {
  const AttentionParams& p = params.attention;
  const int rows = decode_counters(p.num_heads, p.num_kv_heads);
  const int blocks = kBlocksPerMultiprocessor * params.num_multiprocessors;
  const int parts = std::clamp(blocks / (rows * p.num_decode_seqs), 1, params.max_splits);
  const dim3 grid(parts, rows, p.num_decode_seqs);
  dispatch_mma(p.dtype, p.head_dim, "attention_decode", [&]<typename T, int kHeadDim>() {
    launch(attention_decode_kernel<T, kHeadDim>, {.grid = grid, .block = dim3(kThreads)}, stream,
           params);
  });
}

}  // namespace quern::kernels
