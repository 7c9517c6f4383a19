#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "quern/dtype.h"

namespace quern::kernels {

/// As in graph/op.h.
enum class NormKind : std::uint8_t { rms, layer };

/// Input of NormLinear's norm: residual (+ delta), of all rows or of some. "T" is `dtype`:
/// float32, float16 or bfloat16. All arrays are dense.
struct NormInput {
  DType dtype = DType::float32;
  const float* residual = nullptr;           ///< [tokens, in_features]
  const void* delta = nullptr;               ///< [tokens, in_features] T, or null
  const std::int32_t* token_rows = nullptr;  ///< [num_rows]; null: 0, 1, 2, …
  int in_features = 0;

  NormKind kind = NormKind::rms;
  float epsilon = 0.0f;
  const float* gain = nullptr;  ///< [in_features]
  const float* bias = nullptr;  ///< [in_features] or null
};

struct NormParams {
  NormInput input;
  int num_rows = 0;
  float* residual_out = nullptr;  ///< [num_rows, in_features] or null: receives residual + delta
  void* out = nullptr;            ///< [num_rows, in_features] T
  bool use_pdl = false;           ///< see LaunchShape
  /// A row's bits do not depend on num_rows, nor on whether skinny_gemm() computes the norm.
  bool deterministic = false;
};

/// The norm of NormLinear as a separate kernel, one block per row. Rounding: the norm is float32,
/// `out` is rounded once. Errors: see launch.h.
void norm(const NormParams& params, cudaStream_t stream);

}  // namespace quern::kernels
