#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/gemm/epilogue.h"
#include "kernels/norm/norm.h"
#include "kernels/quant/quantized_weight.h"

namespace quern::kernels {

/// Maximum rows of the batch that quantized_gemv() supports.
inline constexpr int kMaxQuantizedGemvRows = 16;

struct QuantizedGemvParams {
  DType dtype = DType::float16;  ///< of `in`: float16 or bfloat16
  int num_rows = 0;
  QuantizedWeight weight;    ///< in tiles
  const void* in = nullptr;  ///< [num_rows, in_features], dense, in the weight's order of inputs;
                             ///< null: the norm of `norm`, of one row
  NormInput norm;
  float* residual_out = nullptr;  ///< [in_features] of the norm's row, or null
  Epilogue epilogue;
  int num_multiprocessors = 0;
  bool use_pdl = false;  ///< see LaunchShape
};

/// Whether quantized_gemv() supports these sizes: few rows that fit into shared memory, rows of
/// multiples of 16 bytes, gated a multiple of eight out features.
bool quantized_gemv_supports(const QuantizedGemvParams& params);

/// gemv() for a quantized weight: NormLinear or Linear for a few rows, in one launch. Each block
/// streams its pairs of tiles once; its warps split them evenly, each with a pipeline of its own
/// that is filled before earlier kernels have ended (PDL). Rounding: products of the exact integers
/// (float8: numbers) and the rows accumulate in float32, group by group; a group's sum is scaled in
/// float32. Errors: see launch.h. Cost: reads the weight once.
void quantized_gemv(const QuantizedGemvParams& params, cudaStream_t stream);

}  // namespace quern::kernels
