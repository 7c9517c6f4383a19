#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/norm/norm.h"
#include "quern/dtype.h"

namespace quern::kernels {

/// Rows of a GEMM's input rounded to E4M3 with a scale for each row (token), its inputs in the
/// order that the layout `tiles` has them in (weights/format.h): of each 64, byte 16 t + 4 j + {0,
/// 1, 2, 3} is input 16 j + 2 t + {0, 8, 1, 9}. Both factors' bytes then meet as they lie.
struct Float8Rows {
  std::uint8_t* values = nullptr;  ///< [num_rows, float8_row_bytes(in_features)], padded with zeros
  float* scales = nullptr;         ///< [num_rows] max|x| / 448; NaN where a number is not finite
};

/// Bytes of a rounded row: whole tiles.
constexpr std::int64_t float8_row_bytes(std::int64_t in_features) {
  return (in_features + 63) / 64 * 64;
}

struct RoundFloat8Params {
  DType dtype = DType::float16;  ///< of `in`: float16 or bfloat16
  const void* in = nullptr;      ///< [num_rows, in_features], dense
  std::int64_t num_rows = 0;
  std::int64_t in_features = 0;
  Float8Rows out;
  bool use_pdl = false;  ///< see LaunchShape
};

/// Rounds rows to E4M3: x / scale, half to even, as round_numbers() does; a row with a number that
/// is not finite has zeros and the scale NaN. Errors: see launch.h. Cost: one block a row, which
/// reads it twice, the second time from the caches.
void round_float8(const RoundFloat8Params& params, cudaStream_t stream);

struct Float8NormParams {
  NormInput input;  ///< of float16 or bfloat16, float8_norm_supports(in_features)
  int num_rows = 0;
  float* residual_out = nullptr;  ///< see NormParams
  Float8Rows out;                 ///< of rows of input.in_features
  bool use_pdl = false;           ///< see LaunchShape
};

/// Rows of whole tiles.
constexpr bool float8_norm_supports(std::int64_t in_features) { return in_features % 64 == 0; }

/// norm() and round_float8() in one kernel. Rounding: the norm is rounded to input.dtype first.
/// Errors: see launch.h.
void float8_norm(const Float8NormParams& params, cudaStream_t stream);

}  // namespace quern::kernels
