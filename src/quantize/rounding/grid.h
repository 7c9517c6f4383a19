#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "quern/quantize.h"

namespace quern {

/// The numbers that a format stores, symmetric around 0: integers of 4 or 8 bits, or E4M3.
struct Grid {
  int bits = 8;
  bool is_float = false;

  /// The scale of a group is its largest magnitude over this: of integers halfway beyond the
  /// largest, as compressed-tensors chooses it.
  float divisor() const;
  /// The nearest stored number, to even on a tie; beyond the range the outermost.
  float nearest(float number) const;
  /// The byte of a stored number: an integer in two's complement, or E4M3's bits.
  std::uint8_t byte_of(float stored) const;
  float number_of(std::uint8_t byte) const;
};

Grid grid_of(QuantizeFormat format);

/// A quantized matrix: its numbers are scales[row][input / group_size] · grid.number_of(byte).
struct QuantizedRows {
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t group_size = 0;  ///< divides `inputs`
  std::vector<std::uint8_t> bytes;
  std::vector<float> scales;  ///< of numbers that the scales' dtype has

  std::int64_t num_groups() const { return inputs / group_size; }
  std::span<const float> row_scales(std::int64_t row) const {
    return std::span(scales).subspan(static_cast<std::size_t>(row * num_groups()),
                                     static_cast<std::size_t>(num_groups()));
  }
};

/// The scale of a group by its largest magnitude, times `shrink`, rounded to `dtype`; 1 where that
/// is 0: all numbers are then 0, or far too small for it.
float scale_of(const Grid& grid, DType dtype, std::span<const float> group, float shrink = 1.0f);

/// The scale that makes Σ importance · (w - quantized w)² smallest, of scale_of() for some factors
/// from 1 down: large numbers may be cut off. Cost: a rounding of the group for each factor.
float best_scale(const Grid& grid, DType dtype, std::span<const float> group,
                 std::span<const float> importance);

}  // namespace quern
