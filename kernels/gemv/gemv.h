#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/gemm/epilogue.h"
#include "kernels/norm/norm.h"

namespace quern::kernels {

/// Rows that gemv() is made for, at most.
inline constexpr int kMaxGemvRows = 8;

struct GemvParams {
  DType dtype = DType::float32;  ///< of `in` and `weight`: T
  int num_rows = 0;
  std::int64_t in_features = 0;
  const void* weight = nullptr;  ///< [weight rows, in_features] T, dense
  const void* in =
      nullptr;  ///< [num_rows, in_features] T, dense; null: the norm of `norm`, of one row
  NormInput norm;
  float* residual_out = nullptr;  ///< [tokens, in_features] or null; only without token_rows
  Epilogue epilogue;
  int num_multiprocessors = 0;
  bool use_pdl = false;  ///< see LaunchShape
};

/// Whether gemv() is made for this: few rows that fit into shared memory, and rows of 16 bytes.
bool gemv_supports(DType dtype, std::int64_t num_rows, std::int64_t in_features);

/// NormLinear or Linear for one to kMaxGemvRows rows, in one launch. Each block streams some
/// tiles of eight weight rows, once; its warps share them by bytes, each with its next loads always
/// under way, the first ones before the norm and before earlier kernels have ended. float16 and
/// bfloat16 are multiplied on tensor cores. Every block makes the norm of all rows for itself; the
/// first one writes residual_out. Pointers are aligned to 16 bytes. Rounding: see graph/op.h;
/// products accumulate in float32. Errors: see launch.h. Cost: reads the weight once.
void gemv(const GemvParams& params, cudaStream_t stream);

}  // namespace quern::kernels
