#include "graph/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

// The float casts and the order of operations below are part of the definition: they reproduce the
// bits of the float32 tensors that the checkpoints were trained and evaluated with, up to the last
// place of powf.

namespace quern {
namespace {

/// theta^(2i / d), in float32: the i-th wavelength divided by 2π.
float wavelength_over_two_pi(float theta, std::size_t i, int rotary_dim) {
  return std::pow(theta, static_cast<float>(2 * i) / static_cast<float>(rotary_dim));
}

/// theta · alpha^(d / (d - 2)), the base of the two NTK types.
float grown_theta(const Rope& rope, double alpha) {
  const double exponent = rope.rotary_dim / (rope.rotary_dim - 2.0);
  if (rope.type == RopeType::qwen_ntk) {
    return static_cast<float>(rope.theta * std::pow(alpha, exponent));
  }
  return static_cast<float>(rope.theta) *
         std::pow(static_cast<float>(alpha), static_cast<float>(exponent));
}

void scale_llama3(const Rope& rope, std::span<float> inv_freq) {
  constexpr auto kTwoPi = static_cast<float>(2.0 * std::numbers::pi);
  const auto factor = static_cast<float>(rope.factor);
  const auto low = static_cast<float>(rope.low_freq_factor);
  const auto range = static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  const auto trained_length = static_cast<float>(rope.original_max_position);
  const auto longest = static_cast<float>(rope.original_max_position / rope.low_freq_factor);
  const auto shortest = static_cast<float>(rope.original_max_position / rope.high_freq_factor);
  for (float& frequency : inv_freq) {
    const float wavelength = kTwoPi * (1.0f / frequency);
    if (wavelength > longest) {
      frequency /= factor;
    } else if (wavelength >= shortest) {
      const float smooth = (trained_length * (1.0f / wavelength) - low) / range;
      frequency = (1.0f - smooth) * frequency / factor + smooth * frequency;
    }
  }
}

/// The dimension that makes that many rotations over the trained length.
double yarn_correction_dim(const Rope& rope, double rotations) {
  return rope.rotary_dim *
         std::log(rope.original_max_position / (rotations * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(rope.theta));
}

void scale_yarn(const Rope& rope, std::span<float> inv_freq) {
  double low = yarn_correction_dim(rope, rope.beta_fast);
  double high = yarn_correction_dim(rope, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rope.rotary_dim - 1.0);
  if (low == high) high += 0.001;  // as the original: avoids a division by zero

  const auto factor = static_cast<float>(rope.factor);
  const auto theta = static_cast<float>(rope.theta);
  for (std::size_t i = 0; i < inv_freq.size(); ++i) {
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f,
        1.0f);
    const float kept = 1.0f - ramp;
    const float interpolated = 1.0f / (factor * wavelength_over_two_pi(theta, i, rope.rotary_dim));
    inv_freq[i] = interpolated * (1.0f - kept) + inv_freq[i] * kept;
  }
}

void scale_longrope(const Rope& rope, double alpha, std::span<float> inv_freq) {
  const auto& factors = alpha == 1.0 ? rope.short_factors : rope.long_factors;
  QUERN_CHECK(inv_freq.size() <= factors.size(), "rotary_dim {}", rope.rotary_dim);
  const auto theta = static_cast<float>(rope.theta);
  for (std::size_t i = 0; i < inv_freq.size(); ++i) {
    inv_freq[i] = 1.0f / (factors[i] * wavelength_over_two_pi(theta, i, rope.rotary_dim));
  }
}

}  // namespace

bool has_alpha(RopeType type) { return alpha_follows_length(type) || type == RopeType::qwen_ntk; }

bool alpha_follows_length(RopeType type) {
  return type == RopeType::dynamic || type == RopeType::longrope;
}

void rope_inv_freq(const Rope& rope, double alpha, std::span<float> inv_freq) {
  const bool grows = has_alpha(rope.type);
  QUERN_CHECK(rope.rotary_dim > 0 && rope.rotary_dim % 2 == 0, "rotary_dim {}", rope.rotary_dim);
  QUERN_CHECK(alpha == 1.0 || (grows && alpha > 1.0 && rope.rotary_dim > 2), "alpha {}", alpha);
  QUERN_CHECK(std::ssize(inv_freq) == rope.rotary_dim / 2);

  const bool keeps_base = alpha == 1.0 || rope.type == RopeType::longrope;
  const float theta = keeps_base ? static_cast<float>(rope.theta) : grown_theta(rope, alpha);
  for (std::size_t i = 0; i < inv_freq.size(); ++i) {
    inv_freq[i] = 1.0f / wavelength_over_two_pi(theta, i, rope.rotary_dim);
  }

  switch (rope.type) {
    case RopeType::standard:
    case RopeType::dynamic:
    case RopeType::qwen_ntk:
      break;
    case RopeType::linear:
      for (float& value : inv_freq) value /= static_cast<float>(rope.factor);
      break;
    case RopeType::llama3:
      scale_llama3(rope, inv_freq);
      break;
    case RopeType::yarn:
      scale_yarn(rope, inv_freq);
      break;
    case RopeType::longrope:
      scale_longrope(rope, alpha, inv_freq);
      break;
  }
}

std::vector<float> rope_inv_freq(const Rope& rope, double alpha) {
  std::vector<float> inv_freq(static_cast<std::size_t>(std::max(0, rope.rotary_dim / 2)));
  rope_inv_freq(rope, alpha, inv_freq);
  return inv_freq;
}

double rope_alpha(const Rope& rope, std::int64_t num_tokens) {
  if (!has_alpha(rope.type) || num_tokens <= rope.original_max_position) return 1.0;
  if (rope.type == RopeType::longrope) return 2.0;
  if (rope.type == RopeType::qwen_ntk) {
    // log(x) / log(2), not log2(x): Qwen's code divides, and the ceiling makes a difference.
    const double ratio = static_cast<double>(num_tokens) / rope.original_max_position;
    const double doublings = std::log(ratio) / std::log(2.0) + 1.0;
    return std::max(1.0, std::exp2(std::ceil(doublings)) - 1.0);
  }
  const float stretched = static_cast<float>(rope.factor) * static_cast<float>(num_tokens) /
                          static_cast<float>(rope.original_max_position);
  return stretched - static_cast<float>(rope.factor - 1.0);
}

}  // namespace quern
