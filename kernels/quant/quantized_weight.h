#pragma once

#include <cstdint>

#include "quern/dtype.h"

namespace quern::kernels {

/// Rows and bytes of a tile, see weights/format.h's TileGeometry.
inline constexpr int kQuantTileRows = 8;
inline constexpr int kQuantTileBytes = 512;

/// Inputs of a tile.
constexpr int quant_tile_inputs(DType stored) { return stored == DType::uint4 ? 128 : 64; }

/// A quantized weight, [weight rows, in_features], as weights/format.h describes it.
struct QuantizedWeight {
  DType stored = DType::uint4;  ///< uint4, uint8 or float8_e4m3
  bool is_tiled = false;        ///< WeightLayout::tiles, else row_major
  std::int64_t weight_rows = 0;
  std::int64_t in_features = 0;
  const std::uint8_t* values = nullptr;
  const void* scales = nullptr;
  DType scale_dtype = DType::float16;               ///< in tiles float16 or float32
  const std::uint8_t* zero_points = nullptr;        ///< or null
  const std::int32_t* input_permutation = nullptr;  ///< or null
  std::int64_t group_size = 0;                      ///< inputs that share a scale
  std::int64_t group_rows = 1;                      ///< rows that do; in tiles 1
  std::int64_t num_groups = 0;                      ///< of a row
};

}  // namespace quern::kernels
