#pragma once

#include <cstdint>

#include "base/memory/tensor.h"
#include "weights/weight.h"

namespace quern::cpu {

// GEMMs by the vector kernels of this machine (vector_kernels.h). A row's result does not depend on
// the other rows, so that batches and prefill chunks agree bit by bit (docs/adr/0007). Measured
// with bench/host/cpu_gemm_bench.cc.

/// Up to this M a GEMM reads its right side as stored, widening it in registers; beyond it 16-bit
/// numbers are widened in memory first, once for all rows.
inline constexpr std::int64_t kMaxNarrowRows = 16;

/// Whether a GEMM with M = `rows` reads a right side of this element type as stored; else it needs
/// a float32 copy.
bool reads_as_stored(DType stored, std::int64_t rows);

/// `stored` as a GEMM with M = `rows` needs it: itself, or its float32 copy in `scratch`, which has
/// room for all its elements.
Tensor prepare_right_side(const Tensor& stored, std::int64_t rows, float* scratch);

/// out = a · bᵀ. Shapes: a [rows, depth] float32; b [cols, depth], prepared; out [rows, cols]
/// float32, overwritten. `is_cached`: b is likely in the processor's caches. Single-threaded.
void multiply_transposed(const Tensor& a, const Tensor& b, const Tensor& out,
                         bool is_cached = false);

/// out = a · wᵀ for rows [first, first + out.cols) of a quantized weight, read as stored, if this
/// machine's kernels do that for its format and M; else false. Bits and shapes as with rows of
/// dequantize_row() and multiply_transposed().
bool multiply_quantized(const Tensor& a, const Weight& weight, std::int64_t first,
                        const Tensor& out);

/// out += a · b. Shapes: a [rows, depth] float32; b [depth, cols], prepared; out [rows, cols].
void multiply_accumulate(const Tensor& a, const Tensor& b, const Tensor& out);

}  // namespace quern::cpu
