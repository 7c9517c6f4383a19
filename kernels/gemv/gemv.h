#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/gemm/epilogue.h"
#include "kernels/norm/norm.h"

namespace quern::kernels {

/// Maximum rows of the batch that gemv() supports.
inline constexpr int kMaxGemvRows = 8;

struct GemvParams {
  DType dtype = DType::float32;  ///< of `in` and `weight`: T
  int num_rows = 0;
  std::int64_t in_features = 0;
  const void* weight = nullptr;  ///< [weight rows, in_features] T, dense
  const void* in =
      nullptr;  ///< [num_rows, in_features] T, dense; null: the norm of `norm`, of one row
  NormInput norm;
  float* residual_out = nullptr;  ///< [in_features] of the norm's row, or null
  Epilogue epilogue;
  int num_multiprocessors = 0;
  bool use_pdl = false;  ///< see LaunchShape
};

/// Whether gemv() supports this: few rows that fit into shared memory, multiples of 16 bytes.
bool gemv_supports(DType dtype, std::int64_t num_rows, std::int64_t in_features);

/// NormLinear or Linear for one to kMaxGemvRows rows, in one launch. Each block streams its tiles
/// of eight weight rows once; its warps split them by bytes, each with a multistage pipeline of its
/// own whose first copies are issued before the norm and before earlier kernels have ended (PDL).
/// float16 and bfloat16 run on tensor cores. Every block computes the norm of all rows itself; the
/// first one writes residual_out. Pointers are aligned to 16 bytes. Rounding: see graph/op.h;
/// products accumulate in float32. Errors: see launch.h. Cost: reads the weight once.
void gemv(const GemvParams& params, cudaStream_t stream);

}  // namespace quern::kernels
