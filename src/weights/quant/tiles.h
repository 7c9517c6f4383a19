#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "weights/source.h"

namespace quern {

/// Reads the components of a quantized weight in the layout `tiles` from those of a row-major one.
/// A tensor-core kernel does not know float8's NaN: the scale of a group with one becomes NaN,
/// which has the same effect on every product. For that all values are read before the scales.
class TilingReader {
 public:
  /// `source` must outlive this. Errors: internal for a format that does not fit.
  explicit TilingReader(const WeightSource& source);

  /// The weight in tiles. Its readers are thread-safe.
  WeightSource tiled();

 private:
  void read_values(std::int64_t first_tile_row, std::int64_t count, std::byte* out);
  void read_scales(std::int64_t first_tile_row, std::int64_t count, std::byte* out) const;
  void read_zero_points(std::int64_t first_tile_row, std::int64_t count, std::byte* out) const;
  /// Rows of a component with a row for each block of rows; out-of-range rows repeat the last.
  std::vector<std::byte> read_blocks(WeightComponent component, std::int64_t first_row,
                                     std::size_t row_bytes) const;
  void note_nan(std::int64_t row, std::span<const std::uint8_t> values);

  const WeightSource& source_;
  TileGeometry tiles_;
  std::int64_t source_groups_;
  std::mutex mutex_;
  std::set<std::pair<std::int64_t, std::int64_t>> nan_groups_;  ///< row, group
};

/// The integer, or float8's bits, of an element in a tile's 512 bytes.
int tile_value(DType stored, const std::uint8_t* tile, std::int64_t row, std::int64_t input);

}  // namespace quern
