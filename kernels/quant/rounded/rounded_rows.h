#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/norm/norm.h"
#include "quern/dtype.h"

namespace quern::kernels {

/// Rows of a GEMM's input rounded to int8 with a scale for each row (token): a number becomes
/// scale · value.
struct RoundedRows {
  std::int8_t* values = nullptr;  ///< [num_rows, in_features], dense
  float* scales = nullptr;        ///< [num_rows] max|x| / 127; NaN where a number is not finite
  std::int32_t* sums = nullptr;   ///< [num_rows] the sum of a row's values, for zero points
};

struct RoundRowsParams {
  DType dtype = DType::float16;  ///< of `in`: float32, float16 or bfloat16
  const void* in = nullptr;      ///< [num_rows, in_features], dense
  std::int64_t num_rows = 0;
  std::int64_t in_features = 0;
  RoundedRows out;
  bool use_pdl = false;  ///< see LaunchShape
};

/// Rounds rows to int8: x / scale, half to even; a row with a number that is not finite has zeros
/// and the scale NaN. Source: vLLM's dynamic per-token quantization. Errors: see launch.h. Cost:
/// one block a row, which reads it twice, the second time from the caches.
void round_rows(const RoundRowsParams& params, cudaStream_t stream);

struct RoundedNormParams {
  NormInput input;
  int num_rows = 0;
  float* residual_out = nullptr;  ///< see NormParams
  RoundedRows out;                ///< of rows of input.in_features
  bool use_pdl = false;           ///< see LaunchShape
};

/// norm() and round_rows() in one kernel. Rounding: the norm is rounded to input.dtype first.
/// Errors: see launch.h.
void rounded_norm(const RoundedNormParams& params, cudaStream_t stream);

enum class NumberRounding : std::uint8_t { int8, float8_e4m3 };

struct RoundNumbersParams {
  DType dtype = DType::float16;  ///< T, of `in` and `out`: float32, float16 or bfloat16
  const void* in = nullptr;      ///< [num_rows, in_features], dense
  std::int64_t num_rows = 0;
  std::int64_t in_features = 0;
  NumberRounding rounding = NumberRounding::int8;
  std::int64_t group_size = 0;  ///< inputs of a scale, at least 1
  /// [num_rows, in_features] T: values, which T holds exactly, if there are `scales`; else scale ·
  /// value, rounded to T.
  void* out = nullptr;
  float* scales = nullptr;  ///< [num_rows] or null; group_size is then in_features
  bool use_pdl = false;     ///< see LaunchShape
};

/// Rounds inputs to int8 (max|x| / 127) or E4M3 (max|x| / 448) for kernels that multiply floats.
/// Errors: see launch.h.
void round_numbers(const RoundNumbersParams& params, cudaStream_t stream);

}  // namespace quern::kernels
