#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "quern/compare.h"

namespace quern {

/// Rows of one value, [rows, cols], from both sides.
struct ComparedRows {
  std::span<const float> tested;
  std::span<const float> reference;
  std::int64_t cols = 0;
  DType dtype = DType::float32;  ///< as the tested side stores them
  /// Per element, how far float32 arithmetic in another order may move it, apart from one ulp of
  /// `dtype`; empty: no bounds.
  std::span<const float> bounds;
  /// Per row, the NMSE that the inputs' roundings may add; empty: none.
  std::span<const double> nmse_slack;
};

/// Differences between the sides. NaN for NaN and an infinity for the same infinity count as equal;
/// any other non-finite difference counts as infinite.
struct RowsDifference {
  ErrorStatistics absolute;
  ErrorStatistics relative;  ///< where the reference is not 0
  /// NMSE of the worst row, and its index: Σ (tested - reference)² / Σ reference²; without the
  /// division for a zero row.
  double nmse = 0.0;
  std::int64_t nmse_row = 0;
  /// The largest NMSE of a row after subtracting its slack and the effect of two numbers near
  /// a rounding boundary: one ulp each of the row's two largest.
  double nmse_but_for_ties = 0.0;
  double excess = 0.0;     ///< the largest error in units of its bound; 0 without bounds
  std::int64_t worst = 0;  ///< index of the largest excess, without bounds of the largest error
  std::int64_t num_nan = 0, num_infinite = 0, num_saturated = 0;  ///< of the tested side
};

RowsDifference compare_rows(const ComparedRows& rows);

/// One ulp of a float dtype at `value`.
double unit_in_last_place(DType dtype, double value);

}  // namespace quern
