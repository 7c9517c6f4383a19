#pragma once

#include "kernels/attention/decode/decode_block.cuh"

namespace quern::kernels {

/// Merges an element's partial sums of the warps, and their softmax states. Memory: as
/// DecodeMemory.
template <typename Memory>
__device__ float merge_warps(Memory& shared, int heads, int head, int element,
                             SoftmaxState& merged) {
  const int warps = num_warps<Memory::kMaxWarps>();
  merged = SoftmaxState::none();
#pragma unroll
  for (int w = 0; w < Memory::kMaxWarps; ++w) {
    if (w == warps) break;
    merged.exponent = fmaxf(merged.exponent, shared.states[w][head].exponent);
  }
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < Memory::kMaxWarps; ++w) {
    if (w == warps) break;
    const SoftmaxState& state = shared.states[w][head];
    const float scale = merged.scale_of(state);
    merged.sum += scale * state.sum;
    sum += scale * shared.sums(w, heads)[head * shared.kSumsStride + element];
  }
  return sum;
}

/// Merge weights of the splits of one head.
struct SplitWeights {
  float scales[kMaxSplits];  ///< factor of a split's sums
  float sums[kMaxSplits];    ///< a split's sum of softmax weights
};

/// Computes the merge weights of a head's splits; by one warp. `states` [splits].
__device__ inline void weigh_splits(const float2* states, int splits, SplitWeights& weights) {
  constexpr int kPerLane = kMaxSplits / 32;
  const int lane = threadIdx.x % 32;
  SoftmaxState own[kPerLane];
  SoftmaxState merged = SoftmaxState::none();
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    own[i] = SoftmaxState::none();
    if (lane + 32 * i < splits) {
      const float2 state = __ldcg(states + lane + 32 * i);
      own[i] = {state.x, state.y};
    }
    merged.exponent = fmaxf(merged.exponent, own[i].exponent);
  }
  merged.exponent = warp_max(merged.exponent);
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    weights.scales[lane + 32 * i] = merged.scale_of(own[i]);
    weights.sums[lane + 32 * i] = own[i].sum;
  }
}

/// Merges four elements of a head. `sums` [splits, kHeadDim], from the first of the four on.
template <int kHeadDim>
__device__ float4 merge_split_sums(const float* sums, int splits, const SplitWeights& of) {
  constexpr int kInFlight = 8;
  float4 total{};
  float weights = 0.0f;
  for (int first = 0; first < splits; first += kInFlight) {
    float4 loaded[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      loaded[i] = float4{};
      if (first + i < splits) {
        const float* at = sums + std::int64_t{first + i} * kHeadDim;
        loaded[i] = __ldcg(reinterpret_cast<const float4*>(at));
      }
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      if (first + i >= splits) break;
      const float scale = of.scales[first + i];
      weights += scale * of.sums[first + i];
      total.x += scale * loaded[i].x;
      total.y += scale * loaded[i].y;
      total.z += scale * loaded[i].z;
      total.w += scale * loaded[i].w;
    }
  }
  return {total.x / weights, total.y / weights, total.z / weights, total.w / weights};
}

}  // namespace quern::kernels
