#pragma once

#include "kernels/attention/attention.cuh"
#include "kernels/attention/scaled_vector.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {

/// A vector of the cache: elements of T, or numbers of a scale.
template <typename T, bool kScaled, DType kStored>
struct CachedVector {
  static constexpr float scale = 1.0f;
  const T* elements;
  __device__ CachedVector(const void* cache, const float*, std::int64_t slot, int size)
      : elements(static_cast<const T*>(cache) + slot * size) {}
  __device__ float operator[](int i) const { return to_float(elements[i]); }
};
template <typename T, DType kStored>
struct CachedVector<T, true, kStored> {
  float scale;
  const std::uint8_t* numbers;
  __device__ CachedVector(const void* cache, const float* scales, std::int64_t slot, int size)
      : scale(scales[slot]), numbers(static_cast<const std::uint8_t*>(cache) + slot * size) {}
  __device__ float operator[](int i) const { return number_of(kStored, numbers[i]); }
};

/// Attention of one row of a tile with float32 FMAs over its visible slots only; run by a warp. For
/// rows with non-finite sums: tensor cores multiply masked slots by zero weights, and 0 · infinity
/// is NaN. Such rows are rare; the code is short rather than fast.
template <typename T, int kHeadDim, KvStorage kStorage>
__device__ inline void attend_row(const AttentionParams& p, const QueryTile& tile, int kv_head,
                                  int row) {
  using Traits = StorageTraits<kStorage>;
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
      const CachedVector<T, Traits::kScaledKeys, Traits::kStored> key(p.keys, p.key_scales, slot,
                                                                      kHeadDim);
      float product = 0.0f;
#pragma unroll 1
      for (int d = 0; d < kHeadDim; ++d) product += to_float(query[d]) * key[d];
      product *= key.scale;
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
      const CachedVector<T, Traits::kScaledValues, Traits::kStored> value(p.values, p.value_scales,
                                                                          slot, kHeadDim);
      const float weight_of_slot = __shfl_sync(~0u, rounded, i) * value.scale;
#pragma unroll
      for (int k = 0; k < kLaneDims; ++k) {
        const int d = 32 * k + lane;
        if (d < kHeadDim) sums[k] += weight_of_slot * value[d];
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
