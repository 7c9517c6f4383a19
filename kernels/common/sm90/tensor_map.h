#pragma once

#include <cuda.h>

#include <cstdint>

#include "quern/dtype.h"

namespace quern::kernels {

/// A dense matrix of float16, bfloat16 or uint8 (for any bytes) for bulk tensor copies: [rows,
/// columns]. What lies outside comes as zeros.
struct TensorMapParams {
  DType dtype = DType::float16;
  const void* data = nullptr;  ///< aligned to 16 bytes
  std::int64_t rows = 0;
  std::int64_t columns = 0;  ///< rows are multiples of 16 bytes
  int box_rows = 0;          ///< at most 256
  int box_columns = 64;      ///< of 128 bytes: swizzled; else as they are
};

/// Whether the driver that is loaded can describe matrices for bulk tensor copies.
bool has_tensor_maps();

/// Errors: LaunchError, naming `what`, when the driver refuses.
CUtensorMap make_tensor_map(const TensorMapParams& params, const char* what);

}  // namespace quern::kernels
