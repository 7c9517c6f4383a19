#pragma once

#include <cstdint>

namespace quern::kernels {

/// base/philox.h's philox4x32. Source: Salmon et al., SC 2011.
__device__ inline uint4 philox(uint4 counter, uint2 key) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t left = std::uint64_t{0xD2511F53u} * counter.x;
    const std::uint64_t right = std::uint64_t{0xCD9E8D57u} * counter.z;
    counter = {static_cast<std::uint32_t>(right >> 32) ^ counter.y ^ key.x,
               static_cast<std::uint32_t>(right),
               static_cast<std::uint32_t>(left >> 32) ^ counter.w ^ key.y,
               static_cast<std::uint32_t>(left)};
    key = {key.x + 0x9E3779B9u, key.y + 0xBB67AE85u};
  }
  return counter;
}

/// The key of a draw, except for the token.
struct DrawKey {
  std::uint64_t seed = 0;
  std::uint32_t sequence_index = 0;
  std::uint32_t position = 0;
};

/// The four words of tokens 4 · `group` … 4 · `group` + 3: base/philox.h's draw_word, bit for bit.
__device__ inline uint4 draw_words(const DrawKey& draw, std::uint32_t group) {
  return philox(
      {group, draw.position, draw.sequence_index, 0},
      {static_cast<std::uint32_t>(draw.seed), static_cast<std::uint32_t>(draw.seed >> 32)});
}

/// base/philox.h's uniform_of_step: a number in [0, 1) that belongs to no token.
__device__ inline float uniform_of_step(const DrawKey& draw) {
  return static_cast<float>(draw_words(draw, 0xFFFFFFFFu / 4).w >> 8) * 0x1p-24f;
}

/// Maximum Gumbel variate of one word.
inline constexpr float kLargestGumbel = 23.0f;

/// A cheap upper bound of gumbel(word), tight where that is large: -log(-log1p(-v)) <= -log(v); the
/// rest covers rounding.
__device__ inline float gumbel_bound(std::uint32_t word) {
  constexpr float kLog2 = 0.693147181f;
  return kLog2 * (32.0f - __log2f(static_cast<float>(word) + 0.5f)) + 1e-3f;
}

/// A standard Gumbel variate from one word, as base/philox.h's gumbel.
__device__ inline float gumbel(std::uint32_t word) {
  const float v = fminf((static_cast<float>(word) + 0.5f) * 0x1p-32f, 1.0f - 0x1p-24f);
  return -logf(-log1pf(-v));
}

}  // namespace quern::kernels
