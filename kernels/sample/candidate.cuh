#pragma once

#include <cstdint>

#include "kernels/common/reduce.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {

/// Order-preserving map from float to integer. Both zeros map to the same.
__device__ inline std::uint32_t ordered(float x) {
  const std::uint32_t bits = __float_as_uint(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ inline float from_ordered(std::uint32_t key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/// Sort key of a token: higher scores first, lower ids among equals. NaN counts as -inf. 0 is no
/// candidate.
__device__ inline std::uint64_t candidate(float score, int id) {
  const float comparable = score > kLowest ? score : kLowest;
  return std::uint64_t{ordered(comparable)} << 32 | ~static_cast<std::uint32_t>(id);
}

/// Above every token's key: marks a row with a logit that is NaN or +inf.
inline constexpr std::uint64_t kNonfiniteKey = ~std::uint64_t{0};

__device__ inline int candidate_id(std::uint64_t key) {
  return static_cast<int>(~static_cast<std::uint32_t>(key));
}

__device__ inline float candidate_score(std::uint64_t key) {
  return from_ordered(static_cast<std::uint32_t>(key >> 32));
}

/// The largest of key_at(0 … count - 1) below `previous`, or 0; run by the block.
template <typename KeyAt>
__device__ inline std::uint64_t next_best(int count, std::uint64_t previous, const KeyAt& key_at) {
  std::uint64_t best = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const std::uint64_t key = key_at(i);
    if (key < previous && key > best) best = key;
  }
  return block_max(best);
}

}  // namespace quern::kernels
