#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/gemm/epilogue.h"
#include "kernels/quant/quantized_weight.h"

namespace quern::kernels {

/// Maximum rows of the batch that quantized_gemm() supports.
inline constexpr int kMaxQuantizedGemmRows = 64;

struct QuantizedGemmParams {
  DType dtype = DType::float16;  ///< of `in`: float16 or bfloat16
  std::int64_t num_rows = 0;
  QuantizedWeight weight;    ///< in tiles
  const void* in = nullptr;  ///< [num_rows, in_features], dense, in the weight's order of inputs
  Epilogue epilogue;
  int num_multiprocessors = 0;
  bool use_pdl = false;  ///< see LaunchShape
};

/// Whether quantized_gemm() supports these sizes: up to kMaxQuantizedGemmRows rows of multiples of
/// 16 bytes, gated a multiple of eight out features.
bool quantized_gemm_supports(const QuantizedGemmParams& params);

/// skinny_gemm() for a quantized weight: small M, with the epilogue. Each multiprocessor streams
/// its share of the weight once; warps split a block's pairs of tiles along N and K. Rounding: as
/// quantized_gemv(). Errors: see launch.h.
void quantized_gemm(const QuantizedGemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
