#pragma once

#include <cstdint>

#include "base/tensor.h"

namespace quern::cpu {

/// Up to so many rows a product reads its right side as it is stored, widening it in registers;
/// beyond it goes through cblas_sgemm, for which 16-bit numbers must be widened in memory first.
/// Measured with bench/cpu_gemm_bench.cc (Zen 5, OpenBLAS 0.3.21).
constexpr std::int64_t max_direct_rows(DType stored) { return stored == DType::float32 ? 10 : 24; }

/// `stored` as a product with `rows` rows on its left side wants it: itself, or its float32 copy in
/// `scratch`, which has room for all its elements.
Tensor prepare_right_side(const Tensor& stored, std::int64_t rows, float* scratch);

/// out = a · bᵀ. Shapes: a [rows, depth] float32; b [cols, depth], prepared; out [rows, cols]
/// float32, overwritten. Runs on the calling thread alone.
void multiply_transposed(const Tensor& a, const Tensor& b, const Tensor& out);

/// out += a · b. Shapes: a [rows, depth] float32; b [depth, cols], prepared; out [rows, cols].
void multiply_accumulate(const Tensor& a, const Tensor& b, const Tensor& out);

}  // namespace quern::cpu
