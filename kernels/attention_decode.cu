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
  alignas(16) float sums[kWarps][kDecodeHeads][kHeadDim];
  SoftmaxState states[kWarps][kDecodeHeads];
  float scales[kDecodeHeads][kMaxSplits];  ///< what a part's sums are multiplied with
  SoftmaxState merged[kDecodeHeads];
};

/// Merges the states of `parts` parts for each head, a warp a head. state_at(head, part) gives
/// them. The caller synchronises.
template <typename Shared, typename StateAt>
__device__ void merge_states(int heads, int parts, Shared& shared, const StateAt& state_at) {
  constexpr int kPerLane = kMaxSplits / 32;
  const int lane = threadIdx.x % 32;
  for (int head = threadIdx.x / 32; head < heads; head += kWarps) {
    SoftmaxState states[kPerLane];
    SoftmaxState merged = SoftmaxState::none();
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int part = lane + 32 * i;
      states[i] = part < parts ? state_at(head, part) : SoftmaxState::none();
      merged.exponent = fmaxf(merged.exponent, states[i].exponent);
    }
    merged.exponent = warp_max(merged.exponent);
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const float scale = merged.scale_of(states[i]);
      shared.scales[head][lane + 32 * i] = scale;
      merged.sum += scale * states[i].sum;
    }
    merged.sum = warp_sum(merged.sum);
    if (lane == 0) shared.merged[head] = merged;
  }
}

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

/// An element's sum over what the warps have left, scaled.
template <typename T, int kHeadDim>
__device__ float sum_of_warps(const SharedMemory<T, kHeadDim>& shared, int head, int element,
                              const float* scales) {
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) sum += scales[w] * shared.sums[w][head][element];
  return sum;
}

/// A warp's share of the parts of one head: Σ scale · sums [kHeadDim], into `destination`.
template <int kHeadDim>
__device__ void add_parts(const float* sums, int count, const float* scales, float* destination) {
  constexpr int kInFlight = 8;
  for (int d = threadIdx.x % 32 * 4; d < kHeadDim; d += 128) {
    float4 total{};
    for (int first = threadIdx.x / 32; first < count; first += kInFlight * kWarps) {
      float4 parts[kInFlight];
#pragma unroll
      for (int i = 0; i < kInFlight; ++i) {
        const int part = first + i * kWarps;
        parts[i] =
            part < count
                ? __ldcg(reinterpret_cast<const float4*>(sums + std::int64_t{part} * kHeadDim + d))
                : float4{};
      }
#pragma unroll
      for (int i = 0; i < kInFlight; ++i) {
        const int part = first + i * kWarps;
        const float scale = part < count ? scales[part] : 0.0f;
        total.x += scale * parts[i].x;
        total.y += scale * parts[i].y;
        total.z += scale * parts[i].z;
        total.w += scale * parts[i].w;
      }
    }
    *reinterpret_cast<float4*>(destination + d) = total;
  }
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
  const auto range_of = [&](int index) {
    const int first = begin + index * splits.slots;
    return SlotRange{first, min(s.kv_len, first + splits.slots)};
  };
  const KvHead kv_head{s.state_row, heads.kv_head};
  const int warp_index = threadIdx.x / 32;
  DecodeWarp<T, kHeadDim> warp;
  warp.look_ahead(p, kv_head, range_of(blockIdx.x), warp_index);
  prepare(p, s, heads, (splits.count - 1) % blocks == blockIdx.x, shared);
  warp.load_queries(shared.queries[0]);

  const std::int64_t first_part =
      (std::int64_t{heads.seq} * p.num_heads + heads.first_head) * params.max_splits;
  const auto part_of = [&](int head, int index) {
    return first_part + std::int64_t{head} * params.max_splits + index;
  };
  for (int index = blockIdx.x; index < splits.count; index += blocks) {
    if (index >= blocks) warp.look_ahead(p, kv_head, range_of(index), warp_index);
    warp.attend(p, kv_head, range_of(index), warp_index, kWarps);
    warp.store(shared.sums[warp_index][0], shared.states[warp_index]);
    __syncthreads();
    merge_states(heads.count, kWarps, shared,
                 [&](int head, int w) { return shared.states[w][head]; });
    __syncthreads();
    for (int i = threadIdx.x; i < elements; i += kThreads) {
      const int head = i / kHeadDim;
      const float sum = sum_of_warps(shared, head, i % kHeadDim, shared.scales[head]);
      if (splits.count == 1) {
        out[i] = from_float<T>(sum / shared.merged[head].sum);
      } else {
        params.sums[part_of(head, index) * kHeadDim + i % kHeadDim] = sum;
      }
    }
    if (splits.count > 1 && threadIdx.x < heads.count) {
      const SoftmaxState& state = shared.merged[threadIdx.x];
      params.states[part_of(threadIdx.x, index)] = {state.exponent, state.sum};
    }
    __syncthreads();
  }
  if (splits.count == 1) return;

  const int counter = blockIdx.z * gridDim.y + blockIdx.y;
  if (!is_last_block(params.counters + counter, blocks)) return;
  merge_states(heads.count, splits.count, shared, [&](int head, int index) {
    const float2 state = __ldcg(params.states + part_of(head, index));
    return SoftmaxState{state.x, state.y};
  });
  __syncthreads();
  for (int head = 0; head < heads.count; ++head) {
    add_parts<kHeadDim>(params.sums + part_of(head, 0) * kHeadDim, splits.count,
                        shared.scales[head], shared.sums[warp_index][head]);
  }
  __syncthreads();
  constexpr float kNoScales[kWarps] = {1.0f, 1.0f, 1.0f, 1.0f};
  for (int i = threadIdx.x; i < elements; i += kThreads) {
    const int head = i / kHeadDim;
    const float sum = sum_of_warps(shared, head, i % kHeadDim, kNoScales);
    out[i] = from_float<T>(sum / shared.merged[head].sum);
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
