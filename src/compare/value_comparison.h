#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "quern/compare.h"

namespace quern {

/// Rows of numbers of one value, [rows, cols], as two sides have them.
struct ComparedRows {
  std::span<const float> tested;
  std::span<const float> reference;
  std::int64_t cols = 0;
  DType dtype = DType::float32;  ///< as the tested side stores them
  /// By element, how far float32 arithmetic in another order may move it, besides one unit in the
  /// last place of `dtype`; empty: no bounds.
  std::span<const float> bounds;
  /// By row, what the inputs' own roundings may add to its NMSE; empty: nothing.
  std::span<const double> nmse_slack;
};

/// How the sides differ. NaN for NaN and an infinity for the same infinity count as equal; any
/// other difference that is not finite counts as infinite.
struct RowsDifference {
  ErrorStatistics absolute;
  ErrorStatistics relative;  ///< where the reference is not 0
  /// Of the worst row, and which that is: Σ (tested - reference)² / Σ reference²; over a row of
  /// zeros without the division.
  double nmse = 0.0;
  std::int64_t nmse_row = 0;
  /// The largest NMSE of a row after taking off its slack and what one number that lay between two
  /// roundings may add: a unit in the last place of the row's largest.
  double nmse_but_for_ties = 0.0;
  double excess = 0.0;  ///< the largest error in units of its bound; 0 without bounds
  std::int64_t worst =
      0;  ///< the element with the largest excess, without bounds the largest error
  std::int64_t num_nan = 0, num_infinite = 0, num_saturated = 0;  ///< of the tested side
};

RowsDifference compare_rows(const ComparedRows& rows);

/// One unit in the last place of a float dtype at `value`.
double unit_in_last_place(DType dtype, double value);

}  // namespace quern
