#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/epilogue.h"

namespace quern::kernels {

struct SkinnyGemmParams {
  DType dtype = DType::float16;  ///< of `in` and `weight`: float16 or bfloat16
  std::int64_t num_rows = 0;
  std::int64_t in_features = 0;
  const void* weight = nullptr;  ///< [weight rows, in_features], dense
  const void* in = nullptr;      ///< [num_rows, in_features], dense
  Epilogue epilogue;
};

/// Whether skinny_gemm() is made for this: a 16-bit dtype and rows of 16 bytes.
bool skinny_gemm_supports(DType dtype, std::int64_t in_features);

/// A projection of some rows (it is made for 2 to 64) on tensor cores: mma.sync with the weight as
/// the left operand, so that the rows are its narrow side, and asynchronous copies several stages
/// ahead. Pointers are aligned to 16 bytes. Rounding: products accumulate in float32, the epilogue
/// is float32. Errors: see launch.h. Cost: reads the weight once for each 64 rows.
void skinny_gemm(const SkinnyGemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
