#pragma once

#include <cuda_runtime_api.h>

#include "kernels/memory/random_fill.h"
#include "kernels/quant/quantized_weight.h"

namespace quern::kernels {

struct RandomQuantizeParams {
  RandomFillParams numbers;  ///< of a row-major weight from its first element on; `weight` unused
  std::uint8_t* values = nullptr;  ///< in tiles
  void* scales = nullptr;          ///< of `scale_dtype`, in tiles
  DType stored = DType::uint4;
  DType scale_dtype = DType::float16;
  std::int64_t weight_rows = 0;
  std::int64_t in_features = 0;  ///< a multiple of kRandomQuantizeGroup
  bool by_row = false;           ///< a scale for each row, of float8_e4m3, in place of each group
};

/// Inputs of a group.
inline constexpr int kRandomQuantizeGroup = 128;

/// Draws random numbers, those of random_fill(), and quantizes them to symmetric groups as
/// weights/quant/quantize.h does, bit for bit. Errors: see launch.h; DispatchError.
void random_quantize(const RandomQuantizeParams& params, cudaStream_t stream);

/// The same to uint8 with a scale for each row: `values` and `scales` are row-major, in_features
/// any number. Errors: see launch.h.
void random_quantize_rows(const RandomQuantizeParams& params, cudaStream_t stream);

}  // namespace quern::kernels
