#pragma once

#include "kernels/attention/decode/decode_block.cuh"

namespace quern::kernels {

/// An element's sum over what the warps have left, and the state that goes with it.
template <typename T, int kHeadDim, int kWarps>
__device__ float merge_warps(DecodeMemory<T, kHeadDim, kWarps>& shared, int heads, int head,
                             int element, SoftmaxState& merged) {
  merged = SoftmaxState::none();
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    merged.exponent = fmaxf(merged.exponent, shared.states[w][head].exponent);
  }
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    const SoftmaxState& state = shared.states[w][head];
    const float scale = merged.scale_of(state);
    merged.sum += scale * state.sum;
    sum += scale * shared.sums(w, heads)[head * shared.kSumsStride + element];
  }
  return sum;
}

/// What the parts of one head are merged with.
struct PartWeights {
  float scales[kMaxSplits];  ///< what a part's sums are multiplied with
  float sums[kMaxSplits];    ///< a part's sum of weights
};

/// Weighs a head's parts against each other, by a warp. `states` [parts].
__device__ inline void weigh_parts(const float2* states, int parts, PartWeights& weights) {
  constexpr int kPerLane = kMaxSplits / 32;
  const int lane = threadIdx.x % 32;
  SoftmaxState own[kPerLane];
  SoftmaxState merged = SoftmaxState::none();
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    own[i] = SoftmaxState::none();
    if (lane + 32 * i < parts) {
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

/// Four elements of a head from its parts. `sums` [parts, kHeadDim], from the first of the four on.
template <int kHeadDim>
__device__ float4 merge_parts(const float* sums, int parts, const PartWeights& of) {
  constexpr int kInFlight = 8;
  float4 total{};
  float weights = 0.0f;
  for (int first = 0; first < parts; first += kInFlight) {
    float4 loaded[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      loaded[i] = float4{};
      if (first + i < parts) {
        const float* at = sums + std::int64_t{first + i} * kHeadDim;
        loaded[i] = __ldcg(reinterpret_cast<const float4*>(at));
      }
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      if (first + i >= parts) break;
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
