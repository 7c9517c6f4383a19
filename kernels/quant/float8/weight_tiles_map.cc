#include "kernels/quant/float8/weight_tiles_map.h"

#include "kernels/common/sm90/tensor_map_encoder.h"

namespace quern::kernels {

CUtensorMap make_weight_tiles_map(const QuantizedWeight& weight, int box_rows) {
  constexpr cuuint64_t kRowBytes = kQuantTileBytes / kQuantTileRows;
  const auto tiles_of = [](std::int64_t count, std::int64_t of_tile) {
    return static_cast<cuuint64_t>((count + of_tile - 1) / of_tile);
  };
  const cuuint64_t tiles = tiles_of(weight.in_features, quant_tile_inputs(weight.stored));
  const cuuint64_t sizes[] = {kRowBytes, kQuantTileRows,
                              tiles_of(weight.weight_rows, kQuantTileRows), tiles};
  const cuuint64_t strides[] = {kRowBytes, tiles * kQuantTileBytes, kQuantTileBytes};
  const cuuint32_t box[] = {kRowBytes, kQuantTileRows,
                            static_cast<cuuint32_t>(box_rows / kQuantTileRows), 1};
  const cuuint32_t steps[] = {1, 1, 1, 1};
  CUtensorMap map;
  check_tensor_map(
      tensor_map_encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 4,
                           const_cast<std::uint8_t*>(weight.values), sizes, strides, box, steps,
                           CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_64B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
      "the tiles of a weight");
  return map;
}

}  // namespace quern::kernels
