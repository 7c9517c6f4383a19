#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/half.h"

namespace quern::testing {

inline constexpr double kFloatEpsilon = 0x1p-23;

/// One ulp of `dtype` at `value`.
inline double ulp(DType dtype, double value) {
  const int digits = dtype == DType::float16 ? 11 : dtype == DType::bfloat16 ? 8 : 24;
  const double smallest =
      dtype == DType::float16 ? 0x1p-24 : 0x1p-126 * std::ldexp(1.0, 1 - digits);
  if (value == 0.0) return smallest;
  return std::max(smallest, std::ldexp(1.0, std::ilogb(value) - digits + 1));
}

/// Expected result of an op: the exact value, and the error allowed to float32 arithmetic.
struct Expected {
  std::vector<double> values;
  std::vector<double> bounds;  ///< by element, without the rounding of the result itself
  /// Per row, the NMSE that differently rounded inputs may add; empty: none.
  std::vector<double> nmse_slack = {};
};

/// NMSE limits by dtype.
struct NmseLimits {
  double float32 = 1e-10;
  double float16 = 1e-8;
  double bfloat16 = 2e-7;

  double of(DType dtype) const {
    return dtype == DType::float16 ? float16 : dtype == DType::bfloat16 ? bfloat16 : float32;
  }
};

/// Checks that every element is within its bound plus one ulp of `dtype`, and reports the worst.
/// Errors within bounds must be rare: each row's NMSE against the rounded result is within
/// `limits`, apart from different roundings: those of its inputs and one at its largest element (in
/// a small result it outweighs the rest).
inline void expect_close(const std::vector<float>& actual, const Expected& expected,
                         std::size_t cols, DType dtype, const NmseLimits& limits = {}) {
  ASSERT_EQ(actual.size(), expected.values.size());
  for (std::size_t begin = 0; begin < actual.size(); begin += cols) {
    double error = 0.0;
    double square = 0.0;
    double largest = 0.0;
    double ulp_square = 0.0;
    double worst = 0.0;
    std::size_t where = begin;
    for (std::size_t i = begin; i < begin + cols; ++i) {
      const double value = expected.values[i];
      const double target = round_to(dtype, static_cast<float>(value));
      const double excess = std::abs(actual[i] - value) / (expected.bounds[i] + ulp(dtype, value));
      error += (actual[i] - target) * (actual[i] - target);
      square += target * target;
      largest = std::max(largest, std::abs(target));
      ulp_square += std::pow(ulp(dtype, target), 2.0);
      if (!(excess <= worst)) {  // NaN too
        worst = excess;
        where = i;
      }
    }
    EXPECT_LE(worst, 1.0) << "row " << begin / cols << ", column " << where - begin << ": got "
                          << actual[where] << ", expected " << expected.values[where] << " ± "
                          << expected.bounds[where];
    // A result that is perturbed by d before rounding to a grid of u changes by u with probability
    // d / u: the expected squared error is d u, not d².
    const double moved =
        expected.nmse_slack.empty() ? 0.0 : expected.nmse_slack[begin / cols] * square;
    const double tie = std::pow(ulp(dtype, largest), 2.0);
    EXPECT_LE(error, limits.of(dtype) * square + moved + std::sqrt(moved * ulp_square) + tie)
        << "row " << begin / cols << ": NMSE " << error / square;
  }
}

}  // namespace quern::testing
