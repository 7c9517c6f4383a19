#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace quern {

/// Where numbers lie and how they are stored: float32, float16 or bfloat16, with no alignment.
struct FloatSource {
  const std::byte* data = nullptr;
  DType dtype = DType::float32;
};

struct FloatDestination {
  std::byte* data = nullptr;
  DType dtype = DType::float32;
};

/// Copies `count` numbers, rounding to nearest even. Returns how many finite ones became infinite.
std::int64_t convert_floats(FloatSource source, FloatDestination destination, std::int64_t count);

/// Copies a matrix [rows, cols] to [cols, rows], both without gaps. Returns the same.
std::int64_t convert_transposed(FloatSource source, FloatDestination destination, std::int64_t rows,
                                std::int64_t cols);

}  // namespace quern
