#pragma once

#include <cuda_runtime_api.h>

#include "kernels/quant/quantized_weight.h"

namespace quern::kernels {

struct DequantizeParams {
  QuantizedWeight weight;
  void* out = nullptr;  ///< [weight rows, in_features] of `dtype`, dense, inputs in the op's order
  DType dtype = DType::float16;
  bool use_pdl = false;  ///< see LaunchShape
};

/// Writes a quantized weight as floats. Rounding: scale · (value - zero point) in float32, then to
/// `dtype` once. Errors: see launch.h. Cost: reads the weight once and writes the floats.
void dequantize(const DequantizeParams& params, cudaStream_t stream);

}  // namespace quern::kernels
