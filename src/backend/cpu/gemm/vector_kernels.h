#pragma once

#include <cmath>
#include <numbers>
#include <span>

#include "base/memory/tensor.h"
#include "weights/weight.h"

namespace quern::cpu {

/// √(2/π), of gelu_tanh.
inline constexpr float kGeluRoot = 0.797884560802865356f;

/// Base of softmax numerators: the logarithm of the least power of two that is at least e^largest.
inline float softmax_reference(float largest) {
  return std::ceil(largest * std::numbers::log2e_v<float>) * std::numbers::ln2_v<float>;
}

/// The inner loops of this backend, in one instruction set. An element of a product is summed in an
/// order that depends on the depth only: its bits do not depend on the number of rows and columns
/// computed together (docs/adr/0007). Other instruction sets sum in another order.
struct VectorKernels {
  /// out[r, c] = Σ_k a[r, k] · b[c, k]. a, out float32; b float32, float16 or bfloat16, widened in
  /// registers. Reads b once per four rows of a: for few rows. `is_cached`: b is likely in the
  /// processor's caches; else it is read in the order of its memory. The bits are the same.
  void (*dot_rows)(const Tensor& a, const Tensor& b, const Tensor& out, bool is_cached);
  /// out[r, k] += Σ_c a[r, c] · b[c, k]. Dtypes as above.
  void (*accumulate_rows)(const Tensor& a, const Tensor& b, const Tensor& out);
  /// out[r, c] = Σ_k a[r, k] · w[first + c, k], w quantized and widened in registers. The bits are
  /// those of dot_rows with rows of dequantize_row(). False, and nothing done, for a format that it
  /// does not read: permuted inputs, groups or depths that are not whole vectors. May be null.
  bool (*dot_quantized)(const Tensor& a, const Weight& weight, std::int64_t first,
                        const Tensor& out);
  /// Each score becomes exp(score - softmax_reference(largest)); returns their sum. A NaN score is
  /// not the largest, but makes the sum NaN.
  float (*softmax_numerators)(std::span<float> scores);
  /// x / (1 + e^-x).
  void (*silu)(std::span<float> values);
  /// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u) with u = √(2/π) (x + 0.044715 x³).
  void (*gelu_tanh)(std::span<float> values);
};

/// Baseline kernels, for every machine.
const VectorKernels& portable_kernels();
/// Kernels for AVX2, FMA and F16C, or null where the machine or the build has none.
const VectorKernels* avx2_kernels();
/// Kernels for AVX-512 (F, BW, DQ, VL), or null likewise.
const VectorKernels* avx512_kernels();
/// Whether this machine's AVX-512 is faster than its AVX2. Zen 4 (AMD's family 19h) executes a
/// 512-bit instruction as two halves: a depth of 192 takes a fifth longer, 2048 the same time.
bool has_fast_avx512();
/// The fastest kernels for this machine.
const VectorKernels& vector_kernels();

}  // namespace quern::cpu
