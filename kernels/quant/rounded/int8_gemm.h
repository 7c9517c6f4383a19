#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/gemm/epilogue.h"
#include "kernels/gemm/sm90/gemm_sm90.h"
#include "kernels/quant/quantized_weight.h"
#include "kernels/quant/rounded/rounded_rows.h"

namespace quern::kernels {

struct Int8GemmParams {
  RoundedRows in;
  std::int64_t num_rows = 0;
  QuantizedWeight weight;
  Epilogue epilogue;
  int num_multiprocessors = 0;  ///< used by int8_gemm_sm90()
  bool use_pdl = false;         ///< see LaunchShape
  /// Of int8_gemm_sm90(), for tests; else the launcher chooses.
  std::optional<GemmSm90Layout> layout = std::nullopt;
};

/// Inputs up to which no sum of products leaves int32: each is at most 127 · 255.
inline constexpr std::int64_t kMaxInt8Inputs = std::int64_t{1} << 16;

/// Whether int8_gemm() supports these parameters: a row-major weight of uint8 with a scale for each
/// row or block of rows, rows of multiples of 16 bytes.
bool int8_gemm_supports(const Int8GemmParams& params);

/// GEMM of int8 rows with a fused epilogue, for any number of rows: mma m16n8k32 with integer sums,
/// sm_80 and newer. Pointers are aligned to 16 bytes. Rounding: a product is (Σ value · (weight -
/// zero point)), exact, times the float32 product of both scales; the epilogue is float32, `out` is
/// rounded once. Errors: see launch.h.
void int8_gemm(const Int8GemmParams& params, cudaStream_t stream);

/// The compiled layouts of int8_gemm_sm90().
std::span<const GemmSm90Layout> int8_gemm_sm90_layouts();

/// Whether this build has the sm_90a code of int8_gemm_sm90() and the current device runs it.
/// Errors: LaunchError when a CUDA call fails.
bool has_int8_gemm_sm90();

/// Whether int8_gemm_sm90() supports these parameters, on a device that has it: those of
/// int8_gemm(), a 16-bit output of rows of multiples of 16 bytes, no activation with erf.
bool int8_gemm_sm90_supports(const Int8GemmParams& params);

/// The same for many rows by wgmma, with gemm_sm90()'s producer, schedule and stores. Sums are the
/// same integers; exponentials and quotients of the epilogue are exact to about 2e-6.
void int8_gemm_sm90(const Int8GemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
