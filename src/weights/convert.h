#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace quern {

/// Float data in memory and its type: float32, float16 or bfloat16, with no alignment.
struct FloatSource {
  const std::byte* data = nullptr;
  DType dtype = DType::float32;
};

struct FloatDestination {
  std::byte* data = nullptr;
  DType dtype = DType::float32;
};

/// Converts `count` numbers, rounding to nearest even. Returns how many finite ones became
/// infinite.
std::int64_t convert_floats(FloatSource source, FloatDestination destination, std::int64_t count);

/// How many of `count` numbers are infinite or NaN. Cost: vectorised, a small part of a copy.
std::int64_t count_nonfinite(FloatSource source, std::int64_t count);

/// Rounds doubles to float32, to nearest even. Returns how many finite ones became infinite.
std::int64_t narrow_doubles(std::span<const double> values, float* out);

/// A range of columns of a dense row-major matrix.
struct ColumnRange {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t first_col = 0;
  std::int64_t num_cols = 0;
};

/// Copies the columns to a dense [num_cols, rows]. Returns the number of overflows as above.
std::int64_t convert_transposed(FloatSource source, FloatDestination destination,
                                const ColumnRange& range);

}  // namespace quern
