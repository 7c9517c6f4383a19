#pragma once

#include "kernels/attention/attention.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {

/// Attention of one row of a tile with float32 FMAs over its visible slots only; run by a warp. For
/// rows with non-finite sums: tensor cores multiply masked slots by zero weights, and 0 · infinity
/// is NaN. Such rows are rare; the code is short rather than fast.
template <typename T, int kHeadDim>
__device__ inline void attend_row(const AttentionParams& p, const QueryTile& tile, int kv_head,
                                  int row) {
  constexpr int kLaneDims = (kHeadDim + 31) / 32;
  const AttentionSequence& s = tile.sequence;
  const int lane = threadIdx.x % 32;
  const int group = p.num_heads / p.num_kv_heads;
  const int token = (tile.first + row) / group;
  const int head = kv_head * group + (tile.first + row) % group;
  const T* query = static_cast<const T*>(p.queries) +
                   (std::int64_t{s.first_row + token} * p.num_heads + head) * kHeadDim;
  const int own = s.kv_len - s.q_len + token;
  float sums[kLaneDims] = {};
  SoftmaxState state = SoftmaxState::none();
#pragma unroll 1
  for (int begin = first_visible(p, own); begin <= own; begin += 32) {
    const int visible = min(32, own + 1 - begin);
    float score = kLowest;
    if (lane < visible) {
      const std::int64_t slot = slot_row(p, s.state_row, kv_head, begin + lane);
      const T* key = static_cast<const T*>(p.keys) + slot * kHeadDim;
      float product = 0.0f;
#pragma unroll 1
      for (int d = 0; d < kHeadDim; ++d) product += to_float(query[d]) * to_float(key[d]);
      score = score_of(p, product);
    }
    const float correction = state.raise(SoftmaxState::exponent_of(warp_max(score)));
    const float weight = state.weight(score);
    state.sum += warp_sum(weight);
    const float rounded = to_float(from_float<T>(weight));
    for (float& sum : sums) sum *= correction;
#pragma unroll 1
    for (int i = 0; i < visible; ++i) {
      const std::int64_t slot = slot_row(p, s.state_row, kv_head, begin + i);
      const T* value = static_cast<const T*>(p.values) + slot * kHeadDim;
      const float weight_of_slot = __shfl_sync(~0u, rounded, i);
#pragma unroll
      for (int k = 0; k < kLaneDims; ++k) {
        const int d = 32 * k + lane;
        if (d < kHeadDim) sums[k] += weight_of_slot * to_float(value[d]);
      }
    }
  }
  T* out = tile_row<T>(p, tile, kv_head, row);
#pragma unroll
  for (int k = 0; k < kLaneDims; ++k) {
    const int d = 32 * k + lane;
    if (d < kHeadDim) out[d] = from_float<T>(sums[k] / state.sum);
  }
}

}  // namespace quern::kernels
