#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/gemm/epilogue.h"

namespace quern::kernels {

struct ReferenceGemmParams {
  std::int64_t num_rows = 0;
  std::int64_t in_features = 0;
  const void* weight = nullptr;  ///< [weight rows, in_features], dense
  DType weight_dtype = DType::float32;
  const void* in = nullptr;  ///< [num_rows, in_features], dense
  DType in_dtype = DType::float32;
  Epilogue epilogue;
};

/// A projection of any size, alignment and pair of float dtypes, by float32 FMAs: for float32 and
/// for all that the faster kernels do not support. Errors: see launch.h.
void reference_gemm(const ReferenceGemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
