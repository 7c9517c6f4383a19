#include "weights/convert.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "base/half.h"

namespace quern {
namespace {

/// The least magnitude that rounds to infinity: the largest finite number and half a unit in its
/// last place.
float overflow_limit(DType dtype) { return dtype == DType::float16 ? 65520.0f : 0x1.ffp127f; }

/// Stores numbers and counts the finite ones that become infinite.
std::int64_t store_counting(std::span<const float> values, DType dtype, std::byte* destination) {
  store_floats(dtype, values, destination);
  if (dtype == DType::float32) return 0;
  return std::count_if(values.begin(), values.end(), [limit = overflow_limit(dtype)](float value) {
    const float magnitude = std::fabs(value);
    return magnitude >= limit && magnitude <= std::numeric_limits<float>::max();
  });
}

}  // namespace

std::int64_t convert_floats(FloatSource source, FloatDestination destination, std::int64_t count) {
  const std::size_t from_bytes = dtype_bytes(source.dtype);
  const std::size_t to_bytes = dtype_bytes(destination.dtype);
  if (source.dtype == destination.dtype) {
    if (count > 0) std::memcpy(destination.data, source.data, count * to_bytes);
    return 0;
  }
  std::array<float, 4096> block;
  std::int64_t overflowed = 0;
  for (std::int64_t begin = 0; begin < count; begin += std::ssize(block)) {
    const std::span<float> values(block.data(), std::min(count - begin, std::ssize(block)));
    load_floats(source.dtype, source.data + begin * from_bytes, values);
    overflowed += store_counting(values, destination.dtype, destination.data + begin * to_bytes);
  }
  return overflowed;
}

std::int64_t convert_transposed(FloatSource source, FloatDestination destination,
                                const ColumnBand& band) {
  constexpr std::int64_t kTile = 64;
  const std::size_t from_bytes = dtype_bytes(source.dtype);
  const std::size_t to_bytes = dtype_bytes(destination.dtype);
  std::array<float, kTile * kTile> tile;
  std::array<float, kTile> column;
  std::int64_t overflowed = 0;
  for (std::int64_t row = 0; row < band.rows; row += kTile) {
    const std::int64_t height = std::min(kTile, band.rows - row);
    for (std::int64_t col = 0; col < band.num_cols; col += kTile) {
      const std::int64_t width = std::min(kTile, band.num_cols - col);
      for (std::int64_t i = 0; i < height; ++i) {
        const std::int64_t from = (row + i) * band.cols + band.first_col + col;
        load_floats(source.dtype, source.data + from * from_bytes,
                    std::span(tile).subspan(i * kTile, width));
      }
      for (std::int64_t j = 0; j < width; ++j) {
        for (std::int64_t i = 0; i < height; ++i) column[i] = tile[i * kTile + j];
        overflowed += store_counting(std::span(column).first(height), destination.dtype,
                                     destination.data + ((col + j) * band.rows + row) * to_bytes);
      }
    }
  }
  return overflowed;
}

}  // namespace quern
