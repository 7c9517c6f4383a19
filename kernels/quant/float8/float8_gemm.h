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
  int num_multiprocessors = 0;
  bool use_pdl = false;                                 ///< see LaunchShape
  std::optional<GemmSm90Layout> layout = std::nullopt;  ///< for tests; else the launcher chooses
};

/// Inputs whose products the tensor cores sum before the sum is added in float32.
inline constexpr int kFloat8SumInputs = 128;

/// The compiled layouts.
std::span<const GemmSm90Layout> float8_gemm_sm90_layouts();

/// Whether this build has the sm_90a code of float8_gemm_sm90() and the current device runs it.
/// Errors: LaunchError when a CUDA call fails.
bool has_float8_gemm_sm90();

/// Whether float8_gemm_sm90() supports these parameters, on a device that has it: a weight of E4M3
/// in tiles with a scale for each row and inputs in their order, a 16-bit output of rows of
/// multiples of 16 bytes, no activation with erf.
bool float8_gemm_sm90_supports(const Float8GemmParams& params);

/// GEMM of rows of E4M3 by weights of E4M3 in tiles, with a fused epilogue, for many rows: by
/// wgmma, with gemm_sm90()'s schedule and stores. Pointers are aligned to 16 bytes. Rounding:
/// products are exact; tensor cores sum those of kFloat8SumInputs inputs, where each addition keeps
/// 13 bits below the largest addend (docs/adr/0024), these sums add up in float32 and are
/// multiplied by the float32 product of both scales; exponentials and quotients of the epilogue are
/// exact to about 2e-6, `out` is rounded once. Errors: see launch.h.
void float8_gemm_sm90(const Float8GemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
