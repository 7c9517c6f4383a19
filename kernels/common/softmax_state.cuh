#pragma once

#include <cmath>

namespace quern::kernels {

inline constexpr float kLowest = -INFINITY;
inline constexpr float kLog2E = 1.44269504088896341f;

/// 2^x; flushed to 0 below 2^-126, which no sum of at least 1/2 notices.
__device__ inline float fast_power(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

/// Online-softmax state of a subset of the scores; the weighted sum of values is kept next to it,
/// and states can be merged. Everything is relative to a power of two that is at least the largest
/// e^score, so that rescaling is exact and the rounding of a weight's mantissa does not depend on
/// earlier scores.
/// Source: Milakov and Gimelshein 2018, Dao 2022.
struct SoftmaxState {
  float exponent;  ///< of the power of two; -inf: no score yet
  float sum;       ///< Σ e^score / 2^exponent

  /// The state without scores. Not a constructor, so that shared memory can hold states.
  __device__ static SoftmaxState none() { return {kLowest, 0.0f}; }

  /// The exponent for a maximum score. `factor` converts scores to base-2 logarithms; for scores
  /// that are not scaled yet it includes their scale.
  __device__ static float exponent_of(float score, float factor = kLog2E) {
    return ceilf(score * factor);
  }

  /// Raises the exponent to at least `candidate`; returns the factor for the sums so far.
  __device__ float raise(float candidate) {
    const float raised = fmaxf(exponent, candidate);
    const float correction = raised == kLowest ? 1.0f : exp2f(exponent - raised);
    exponent = raised;
    sum *= correction;
    return correction;
  }

  /// e^score / 2^exponent; 0 for a masked score, also in a state without scores.
  __device__ float weight(float score, float factor = kLog2E) const {
    return fast_power(fmaf(score, factor, exponent == kLowest ? 0.0f : -exponent));
  }

  /// The factor for the sums of another state that is merged into this one.
  __device__ float scale_of(const SoftmaxState& part) const {
    return part.exponent == kLowest ? 0.0f : exp2f(part.exponent - exponent);
  }
};

}  // namespace quern::kernels
