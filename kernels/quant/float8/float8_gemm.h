#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/gemm/epilogue.h"
#include "kernels/gemm/sm90/gemm_sm90.h"
#include "kernels/quant/float8/float8_rows.h"
#include "kernels/quant/quantized_weight.h"

namespace quern::kernels {

struct Float8GemmParams {
  Float8Rows in;
  std::int64_t num_rows = 0;
  QuantizedWeight weight;
  Epilogue epilogue;
  int num_multiprocessors = 0;  ///< used by float8_gemm_sm90()
  bool use_pdl = false;         ///< see LaunchShape
  /// Of float8_gemm_sm90(), for tests; else the launcher chooses.
  std::optional<GemmSm90Layout> layout = std::nullopt;
};

/// Inputs whose products the tensor cores sum, at most, before the sum is added in float32.
inline constexpr int kFloat8SumInputs = 128;

/// Whether this build has code of float8_gemm() for the current device: sm_89 and newer. Errors:
/// LaunchError when a CUDA call fails.
bool has_float8_gemm();

/// Whether that code multiplies E4M3 on tensor cores. For sm_90 to sm_110 ptxas widens both factors
/// to float16 in registers, so that many rows cost more than products of float16. Errors: likewise.
bool has_float8_mma();

/// Whether float8_gemm() supports these parameters, on a device that has it: a weight of E4M3 in
/// tiles with a scale for each row and inputs in their order.
bool float8_gemm_supports(const Float8GemmParams& params);

/// GEMM of rows of E4M3 by weights of E4M3 in tiles, with a fused epilogue, for any number of rows
/// and any output: by mma m16n8k32, in the kernel of int8_gemm(). Pointers are aligned to 16 bytes.
/// Rounding: as float8_gemm_sm90(), but for the epilogue, which is float32. Errors: see launch.h.
void float8_gemm(const Float8GemmParams& params, cudaStream_t stream);

/// The compiled layouts of float8_gemm_sm90().
std::span<const GemmSm90Layout> float8_gemm_sm90_layouts();

/// Whether this build has the sm_90a code of float8_gemm_sm90() and the current device runs it.
/// Errors: LaunchError when a CUDA call fails.
bool has_float8_gemm_sm90();

/// Whether float8_gemm_sm90() supports these parameters, on a device that has it: a weight of E4M3
/// in tiles with a scale for each row and inputs in their order, a 16-bit output of rows of
/// multiples of 16 bytes, no activation with erf.
bool float8_gemm_sm90_supports(const Float8GemmParams& params);

/// The same for many rows by wgmma, with gemm_sm90()'s schedule and stores. Pointers are aligned to
/// 16 bytes. Rounding: products are exact; tensor cores sum those of kFloat8SumInputs inputs, where
/// each addition keeps 13 bits below the largest addend (docs/adr/0024), these sums add up in
/// float32 and are multiplied by the float32 product of both scales; exponentials and quotients of
/// the epilogue are exact to about 2e-6, `out` is rounded once. Errors: see launch.h.
void float8_gemm_sm90(const Float8GemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
