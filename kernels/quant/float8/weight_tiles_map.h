#pragma once

#include <cuda.h>

#include "kernels/quant/quantized_weight.h"

namespace quern::kernels {

/// A weight of bytes in tiles for bulk tensor copies: [tiles along the inputs, tile rows, 8 rows,
/// 64 bytes]. Boxes are `box_rows` rows (whole tiles) of one tile's inputs, with TMA's swizzle of
/// 64 bytes. What lies outside comes as zeros. Errors: LaunchError when the driver refuses.
CUtensorMap make_weight_tiles_map(const QuantizedWeight& weight, int box_rows);

}  // namespace quern::kernels
