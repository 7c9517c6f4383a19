#pragma once

// What the Simd structs of integer_products.h have in common on x86-64: 256-bit registers. For
// QUERN_TARGET see there; each including file has this struct of its own.

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "backend/cpu/gemm/quantized_products.h"

namespace quern::cpu {
namespace {

struct IntegerRegisters {
  using Ints = __m256i;
  using Floats = __m256;
  using Block = __m256i;

  QUERN_TARGET static Ints zero_ints() { return _mm256_setzero_si256(); }
  QUERN_TARGET static Floats zero_floats() { return _mm256_setzero_ps(); }
  QUERN_TARGET static Block load_inputs(const std::int8_t* source) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
  }
  template <typename T>
  QUERN_TARGET static Block load(const std::uint8_t* source) {
    if constexpr (std::is_same_v<T, UInt8>) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
    } else {
      const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
      const Ints both =
          _mm256_inserti128_si256(_mm256_castsi128_si256(pairs), _mm_srli_epi16(pairs, 4), 1);
      return _mm256_and_si256(both, _mm256_set1_epi8(0x0f));
    }
  }
  QUERN_TARGET static Floats to_floats(Ints ints) { return _mm256_cvtepi32_ps(ints); }
  QUERN_TARGET static Floats broadcast(float x) { return _mm256_set1_ps(x); }
  QUERN_TARGET static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  QUERN_TARGET static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  QUERN_TARGET static float fma(float a, float b, float c) { return std::fma(a, b, c); }

  QUERN_TARGET static float widen(Half value) { return _cvtsh_ss(value.bits); }

  QUERN_TARGET static std::int64_t sum(Ints ints) {
    const Ints low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(ints));
    const Ints high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(ints, 1));
    const Ints four = _mm256_add_epi64(low, high);
    const __m128i two =
        _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
    return _mm_cvtsi128_si64(_mm_add_epi64(two, _mm_unpackhi_epi64(two, two)));
  }
  QUERN_TARGET static float sum(Floats lanes) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
  }
};

}  // namespace
}  // namespace quern::cpu
