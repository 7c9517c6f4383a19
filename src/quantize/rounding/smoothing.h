#pragma once

#include <span>
#include <vector>

#include "quantize/calibration_run.h"

namespace quern {

/// The factors by which each input of a matrix that follows a norm is divided, and its weights
/// multiplied, so that both are as easy to round: largest input^strength over largest
/// weight^(1 - strength), 1 where one of them is 0. Source: SmoothQuant (Xiao et al. 2022).
std::vector<float> smoothing_factors(std::span<const float> largest_inputs,
                                     std::span<const float> weight, float strength);

/// Divides the norm's gain and bias by the factors, rounded to `gain_dtype` and `bias_dtype` as the
/// checkpoint stores them, and returns the factors by which inputs are divided then: they make up
/// for the rounding of the gain. The factor of a gain of 0, or one that would overflow, is 1.
std::vector<float> fold_into_norm(std::span<const float> factors, DType gain_dtype,
                                  std::span<float> gain, DType bias_dtype, std::span<float> bias);

}  // namespace quern
