#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>

namespace quern::cpu {

// Branch-free float32 functions and the loops over them. They are always inlined, so that each
// instruction set's kernels compile their own, vectorised copy.
#define QUERN_INLINE inline __attribute__((always_inline))

/// e^x to within two units in the last place, subnormal results included. NaN stays NaN.
/// Source: Cephes expf (Moshier), with the scaling split in two so that no intermediate overflows.
QUERN_INLINE float exponential(float x) {
  constexpr float kRounder = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  x = x < -105.0f ? -105.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float shifted = x * 1.44269504088896341f + kRounder;
  const float power = shifted - kRounder;
  const float r = (x - power * 0.693359375f) + power * 2.12194440e-4f;
  float sum = 1.9875691500e-4f;
  sum = sum * r + 1.3981999507e-3f;
  sum = sum * r + 8.3334519073e-3f;
  sum = sum * r + 4.1665795894e-2f;
  sum = sum * r + 1.6666665459e-1f;
  sum = sum * r + 5.0000001201e-1f;
  sum = sum * (r * r) + r + 1.0f;
  const auto n = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(shifted) -
                                           std::bit_cast<std::uint32_t>(kRounder));
  // NaN leaves garbage in n, hence unsigned arithmetic, which may wrap.
  const auto half = static_cast<std::uint32_t>(n >> 1);
  const std::uint32_t rest = static_cast<std::uint32_t>(n) - half;
  return sum * std::bit_cast<float>((half + 127u) << 23) *
         std::bit_cast<float>((rest + 127u) << 23);
}

/// Replaces each score by exp(score - largest score) and returns their sum. NaN scores are not the
/// largest, but make the sum NaN.
QUERN_INLINE float softmax_numerators_loop(std::span<float> scores) {
  constexpr std::size_t kLanes = 16;
  const std::size_t whole = scores.size() / kLanes * kLanes;
  float largest[kLanes];
  float sum[kLanes];
  std::fill(std::begin(largest), std::end(largest), -std::numeric_limits<float>::infinity());
  std::fill(std::begin(sum), std::end(sum), 0.0f);

  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      largest[j] = scores[i + j] > largest[j] ? scores[i + j] : largest[j];
    }
  }
  for (std::size_t i = whole; i < scores.size(); ++i) {
    largest[0] = scores[i] > largest[0] ? scores[i] : largest[0];
  }
  const float maximum = *std::max_element(std::begin(largest), std::end(largest));

  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      scores[i + j] = exponential(scores[i + j] - maximum);
      sum[j] += scores[i + j];
    }
  }
  for (std::size_t i = whole; i < scores.size(); ++i) {
    scores[i] = exponential(scores[i] - maximum);
    sum[0] += scores[i];
  }
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) sum[j] += sum[j + width];
  }
  return sum[0];
}

/// x / (1 + e^-x).
QUERN_INLINE void silu_loop(std::span<float> values) {
  for (float& x : values) x = x / (1.0f + exponential(-x));
}

/// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u) with u = √(2/π) (x + 0.044715 x³).
QUERN_INLINE void gelu_tanh_loop(std::span<float> values) {
  constexpr float kTwiceRoot = 2.0f * 0.797884560802865356f;
  for (float& x : values) {
    x = x / (1.0f + exponential(-kTwiceRoot * (x + 0.044715f * x * x * x)));
  }
}

}  // namespace quern::cpu
