#pragma once

#include <cmath>

namespace quern::kernels {

inline constexpr float kLowest = -INFINITY;
inline constexpr float kLog2E = 1.44269504088896341f;

/// 2^x; below 2^-126 it is 0, which no sum beside one of at least 1/2 notices.
__device__ inline float fast_power(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

/// What a softmax over a part of the scores leaves behind, beside the sum of values that goes with
/// it; parts are merged in any number. Everything is relative to a power of two that is at least
/// the largest e^score, so that a correction is exact and a weight's mantissa, which decides how it
/// is rounded, does not depend on the scores before it.
/// Source: Milakov and Gimelshein 2018, Dao 2022.
struct SoftmaxState {
  float exponent;  ///< of the power of two; -inf: no score yet
  float sum;       ///< Σ e^score / 2^exponent

  /// That of no scores. Not a constructor, so that shared memory can hold states.
  __device__ static SoftmaxState none() { return {kLowest, 0.0f}; }

  /// The exponent that a score asks for. `factor`: what makes of a score a logarithm to base 2; for
  /// scores that are yet to be scaled, their scale is in it.
  __device__ static float exponent_of(float score, float factor = kLog2E) {
    return ceilf(score * factor);
  }

  /// Takes in an exponent; returns what the sums so far are multiplied with.
  __device__ float raise(float candidate) {
    const float raised = fmaxf(exponent, candidate);
    const float correction = raised == kLowest ? 1.0f : exp2f(exponent - raised);
    exponent = raised;
    sum *= correction;
    return correction;
  }

  /// e^score / 2^exponent, 0 for a masked score even when there is none yet.
  __device__ float weight(float score, float factor = kLog2E) const {
    return fast_power(fmaf(score, factor, exponent == kLowest ? 0.0f : -exponent));
  }

  /// What another part's sums are multiplied with.
  __device__ float scale_of(const SoftmaxState& part) const {
    return part.exponent == kLowest ? 0.0f : exp2f(part.exponent - exponent);
  }
};

}  // namespace quern::kernels
