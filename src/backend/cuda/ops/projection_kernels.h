#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "backend/cuda/ops/gemm_crossover.h"
#include "base/dtype.h"
#include "weights/format.h"

namespace quern::cuda {

/// The implementations of a projection.
enum class ProjectionKernel : std::uint8_t {
  gemv,
  skinny_gemm,
  gemm_sm90,
  cublaslt,
  reference_gemm,
  quantized_gemv,
  quantized_gemm_sm90,
  quantized_gemm,
  dequantize,  ///< the weight to the activation dtype, then one of the above
  // Of weights whose format rounds inputs; see rounded_projection.h.
  int8_gemm_sm90,
  int8_gemm,
  float8_gemm_sm90,
  float8_gemm,
  round_numbers,  ///< the inputs, in the activation dtype, then one of the first
};

/// Inputs of the kernel choice.
struct ProjectionCase {
  DType activation = DType::float16;  ///< of the rows: T
  DType stored = DType::float16;      ///< see WeightFormat
  WeightLayout layout = WeightLayout::row_major;
  std::int64_t num_rows = 0;
  std::int64_t weight_elements = 0;
};

/// A range of M, both ends included.
struct RowRange {
  std::int64_t first = 1;
  std::int64_t last = std::numeric_limits<std::int64_t>::max();
};

/// The range of M of a kernel, for a weight with `weight_elements` elements.
using RowRangeOf = RowRange (*)(const GemmCrossover& crossover, std::int64_t weight_elements);

constexpr RowRange any_rows(const GemmCrossover&, std::int64_t) { return {}; }
template <std::int64_t kLast>
constexpr RowRange up_to(const GemmCrossover&, std::int64_t) {
  return {.last = kLast};
}
constexpr RowRange beyond_crossover(const GemmCrossover& crossover, std::int64_t weight_elements) {
  return {.first = crossover.rows_of(weight_elements) + 1};
}

/// Ranges of M of the kernels for quantized weights: up to 64 measured on an H100 with LLaMA-7B in
/// 4 bits, 192 estimated.
inline constexpr std::int64_t kMostQuantizedGemvRows = 16;
inline constexpr std::int64_t kMostQuantizedGemmRows = 64;
inline constexpr std::int64_t kMostQuantizedGemmSm90Rows = 192;

struct ProjectionKernelRow {
  DType activation;
  DType stored;
  WeightLayout layout;
  RowRangeOf rows;
  ProjectionKernel kernel;
};

/// Kernel table: the first row that matches and whose kernel supports the sizes and alignment is
/// used. Order and ranges of M were measured on an H200: docs/performance.md.
inline constexpr auto kProjectionKernels = [] {
  using enum DType;
  using enum ProjectionKernel;
  constexpr WeightLayout kRowMajor = WeightLayout::row_major;
  constexpr WeightLayout kTiles = WeightLayout::tiles;
  return std::to_array<ProjectionKernelRow>({
      // For larger M skinny_gemm() is faster; it does not support float32.
      {float16, float16, kRowMajor, up_to<2>, gemv},
      {bfloat16, bfloat16, kRowMajor, up_to<2>, gemv},
      {float32, float32, kRowMajor, up_to<4>, gemv},
      {float16, float16, kRowMajor, beyond_crossover, gemm_sm90},
      {bfloat16, bfloat16, kRowMajor, beyond_crossover, gemm_sm90},
      {float16, float16, kRowMajor, beyond_crossover, cublaslt},
      {bfloat16, bfloat16, kRowMajor, beyond_crossover, cublaslt},
      {float32, float32, kRowMajor, beyond_crossover, cublaslt},
      {float16, float16, kRowMajor, any_rows, skinny_gemm},
      {bfloat16, bfloat16, kRowMajor, any_rows, skinny_gemm},
      // Fallback: odd sizes, other pairs of dtypes.
      {float16, float16, kRowMajor, any_rows, reference_gemm},
      {float16, bfloat16, kRowMajor, any_rows, reference_gemm},
      {float16, float32, kRowMajor, any_rows, reference_gemm},
      {bfloat16, float16, kRowMajor, any_rows, reference_gemm},
      {bfloat16, bfloat16, kRowMajor, any_rows, reference_gemm},
      {bfloat16, float32, kRowMajor, any_rows, reference_gemm},
      {float32, float16, kRowMajor, any_rows, reference_gemm},
      {float32, bfloat16, kRowMajor, any_rows, reference_gemm},
      {float32, float32, kRowMajor, any_rows, reference_gemm},
      // Quantized weights. Larger M, float32 and groups that do not fit tiles are dequantized.
      {float16, uint4, kTiles, up_to<kMostQuantizedGemvRows>, quantized_gemv},
      {float16, uint4, kTiles, up_to<kMostQuantizedGemmSm90Rows>, quantized_gemm_sm90},
      {float16, uint4, kTiles, up_to<kMostQuantizedGemmRows>, quantized_gemm},
      {bfloat16, uint4, kTiles, up_to<kMostQuantizedGemvRows>, quantized_gemv},
      {bfloat16, uint4, kTiles, up_to<kMostQuantizedGemmSm90Rows>, quantized_gemm_sm90},
      {bfloat16, uint4, kTiles, up_to<kMostQuantizedGemmRows>, quantized_gemm},
      {float16, uint4, kTiles, any_rows, dequantize},
      {float16, uint4, kRowMajor, any_rows, dequantize},
      {bfloat16, uint4, kTiles, any_rows, dequantize},
      {bfloat16, uint4, kRowMajor, any_rows, dequantize},
      {float32, uint4, kTiles, any_rows, dequantize},
      {float32, uint4, kRowMajor, any_rows, dequantize},
      {float16, uint8, kTiles, up_to<kMostQuantizedGemvRows>, quantized_gemv},
      {float16, uint8, kTiles, up_to<kMostQuantizedGemmSm90Rows>, quantized_gemm_sm90},
      {float16, uint8, kTiles, up_to<kMostQuantizedGemmRows>, quantized_gemm},
      {bfloat16, uint8, kTiles, up_to<kMostQuantizedGemvRows>, quantized_gemv},
      {bfloat16, uint8, kTiles, up_to<kMostQuantizedGemmSm90Rows>, quantized_gemm_sm90},
      {bfloat16, uint8, kTiles, up_to<kMostQuantizedGemmRows>, quantized_gemm},
      {float16, uint8, kTiles, any_rows, dequantize},
      {float16, uint8, kRowMajor, any_rows, dequantize},
      {bfloat16, uint8, kTiles, any_rows, dequantize},
      {bfloat16, uint8, kRowMajor, any_rows, dequantize},
      {float32, uint8, kTiles, any_rows, dequantize},
      {float32, uint8, kRowMajor, any_rows, dequantize},
      {float16, float8_e4m3, kTiles, up_to<kMostQuantizedGemvRows>, quantized_gemv},
      {float16, float8_e4m3, kTiles, up_to<kMostQuantizedGemmSm90Rows>, quantized_gemm_sm90},
      {float16, float8_e4m3, kTiles, up_to<kMostQuantizedGemmRows>, quantized_gemm},
      {bfloat16, float8_e4m3, kTiles, up_to<kMostQuantizedGemvRows>, quantized_gemv},
      {bfloat16, float8_e4m3, kTiles, up_to<kMostQuantizedGemmSm90Rows>, quantized_gemm_sm90},
      {bfloat16, float8_e4m3, kTiles, up_to<kMostQuantizedGemmRows>, quantized_gemm},
      {float16, float8_e4m3, kTiles, any_rows, dequantize},
      {float16, float8_e4m3, kRowMajor, any_rows, dequantize},
      {bfloat16, float8_e4m3, kTiles, any_rows, dequantize},
      {bfloat16, float8_e4m3, kRowMajor, any_rows, dequantize},
      {float32, float8_e4m3, kTiles, any_rows, dequantize},
      {float32, float8_e4m3, kRowMajor, any_rows, dequantize},
  });
}();

/// Errors: unsupported naming activations and weights, and the weight types supported with those
/// activations.
[[noreturn]] void refuse_projection(const ProjectionCase& projection);

/// The kernel of a projection; `serves(kernel)` tells whether a kernel supports its sizes and
/// alignment. Errors: see refuse_projection().
template <typename Serves>
constexpr ProjectionKernel find_projection_kernel(const ProjectionCase& projection,
                                                  const GemmCrossover& crossover,
                                                  const Serves& serves) {
  for (const ProjectionKernelRow& row : kProjectionKernels) {
    if (row.activation != projection.activation || row.stored != projection.stored ||
        row.layout != projection.layout) {
      continue;
    }
    const RowRange rows = row.rows(crossover, projection.weight_elements);
    if (projection.num_rows < rows.first || projection.num_rows > rows.last) continue;
    if (serves(row.kernel)) return row.kernel;
  }
  refuse_projection(projection);
}

/// The layout in which kernels read matrices of this format. Errors: unsupported naming the
/// supported element types.
WeightLayout projection_layout(const WeightFormat& format);

}  // namespace quern::cuda
