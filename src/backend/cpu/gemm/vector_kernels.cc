#include "backend/cpu/gemm/vector_kernels.h"

#include <cmath>
#include <cstring>
#include <limits>

#define QUERN_TARGET  // the build's target

#include "backend/cpu/gemm/block_products.h"

namespace quern::cpu {
namespace {

/// Portable vector extensions: four floats are a register of SSE2 and of NEON.
struct Portable {
  using Vector = float __attribute__((vector_size(16)));
  static constexpr std::int64_t kLanes = 4;
  static constexpr int kColumnsOfFour = 3;  // twelve of 16 registers

  static Vector load(const float* source) {
    Vector x;
    std::memcpy(&x, source, sizeof(x));
    return x;
  }
  static Vector load(const Half* source) {
    const Words bits = load_words(source);
    const Words magnitude = (bits & 0x7fff) << 13;
    // Exponent and mantissa are already in float32 position; the exponent bias differs by 112.
    // Exact, also for subnormals. Infinity and NaN, from 0x7c00 on, need the maximum exponent.
    const Words scaled = bit_cast<Words>(bit_cast<Vector>(magnitude) * 0x1p112f);
    const Words special = static_cast<Words>(magnitude >= (0x7c00u << 13)) & 0x7f800000u;
    return bit_cast<Vector>(scaled | special | (bits & 0x8000) << 16);
  }
  static Vector load(const BFloat16* source) { return bit_cast<Vector>(load_words(source) << 16); }
  static void store(float* out, Vector x) { std::memcpy(out, &x, sizeof(x)); }
  static Vector zero() { return Vector{}; }
  static Vector broadcast(float x) { return Vector{x, x, x, x}; }
  // Two roundings each: this file is compiled with -ffp-contract=off.
  static Vector fma(Vector a, Vector b, Vector c) { return a * b + c; }
  static float fma(float a, float b, float c) { return a * b + c; }
  static Vector add(Vector a, Vector b) { return a + b; }
  static float horizontal_sum(Vector x) { return (x[0] + x[1]) + (x[2] + x[3]); }

 private:
  using Words = std::uint32_t __attribute__((vector_size(16)));

  /// Four 16-bit words, each zero-extended to a lane.
  static Words load_words(const void* source) {
    std::uint16_t __attribute__((vector_size(8))) bits;
    std::memcpy(&bits, source, sizeof(bits));
    return __builtin_convertvector(bits, Words);
  }
  template <typename To, typename From>
  static To bit_cast(const From& from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
  }
};

float softmax_numerators(std::span<float> scores) {
  float largest = -std::numeric_limits<float>::infinity();
  for (const float score : scores) largest = score > largest ? score : largest;
  float sum = 0.0f;
  const float reference = softmax_reference(largest);
  for (float& score : scores) {
    score = std::exp(score - reference);
    sum += score;
  }
  return sum;
}

void silu(std::span<float> values) {
  for (float& x : values) x = x / (1.0f + std::exp(-x));
}

void gelu_tanh(std::span<float> values) {
  for (float& x : values)
    x = x / (1.0f + std::exp(-2.0f * kGeluRoot * (x + 0.044715f * x * x * x)));
}

}  // namespace

const VectorKernels& portable_kernels() {
  static constexpr VectorKernels kKernels = {
      dot_rows<Portable>, accumulate_rows<Portable>, nullptr, softmax_numerators, silu, gelu_tanh};
  return kKernels;
}

const VectorKernels& vector_kernels() {
  static const VectorKernels& best = has_fast_avx512()           ? *avx512_kernels()
                                     : avx2_kernels() != nullptr ? *avx2_kernels()
                                                                 : portable_kernels();
  return best;
}

}  // namespace quern::cpu
