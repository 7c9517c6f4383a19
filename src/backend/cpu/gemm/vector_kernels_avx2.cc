#include "backend/cpu/gemm/vector_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cmath>
#include <cstring>

#define QUERN_TARGET __attribute__((target("avx2,fma,f16c")))

#include "backend/cpu/gemm/block_products.h"
#include "backend/cpu/gemm/quantized_products.h"
#include "backend/cpu/gemm/vector_functions.h"

namespace quern::cpu {
namespace {

struct Avx2 {
  using Vector = __m256;
  static constexpr std::int64_t kLanes = 8;
  // With twelve accumulators the loads, seven per iteration, do not stall the FMA units.
  static constexpr int kColumnsOfFour = 3;

  template <typename T>
  class Scaled;

  QUERN_TARGET static Vector load(const float* source) { return _mm256_loadu_ps(source); }
  QUERN_TARGET static Vector load(const Half* source) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
  }
  QUERN_TARGET static Vector load(const BFloat16* source) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  QUERN_TARGET static float widen(Half value) { return _cvtsh_ss(value.bits); }
  QUERN_TARGET static void store(float* out, Vector x) { _mm256_storeu_ps(out, x); }
  QUERN_TARGET static Vector zero() { return _mm256_setzero_ps(); }
  QUERN_TARGET static Vector broadcast(float x) { return _mm256_set1_ps(x); }

  QUERN_TARGET static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  QUERN_TARGET static float fma(float a, float b, float c) { return std::fma(a, b, c); }
  QUERN_TARGET static Vector fnma(Vector a, Vector b, Vector c) {
    return _mm256_fnmadd_ps(a, b, c);
  }
  QUERN_TARGET static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  QUERN_TARGET static Vector subtract(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  QUERN_TARGET static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  QUERN_TARGET static Vector divide(Vector a, Vector b) { return _mm256_div_ps(a, b); }
  QUERN_TARGET static Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
  QUERN_TARGET static Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
  QUERN_TARGET static Vector round(Vector x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }

  /// In two steps, so that no intermediate overflows.
  QUERN_TARGET static Vector scale(Vector x, Vector power) {
    const __m256i n = _mm256_cvtps_epi32(power);
    const __m256i half = _mm256_srai_epi32(n, 1);
    x = _mm256_mul_ps(x, power_of_two(half));
    return _mm256_mul_ps(x, power_of_two(_mm256_sub_epi32(n, half)));
  }

  QUERN_TARGET static float horizontal_sum(Vector lanes) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
  }

 private:
  /// 2^n for each n in [-126, 127].
  QUERN_TARGET static Vector power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
};

/// scale · (value - zero point) of integers in lanes of 32 bits.
class Avx2Integers {
 public:
  QUERN_TARGET void set(float scale, int zero_point) {
    scale_ = _mm256_set1_ps(scale);
    zero_point_ = _mm256_set1_epi32(zero_point);
  }
  QUERN_TARGET __m256 widen(__m256i values) const {
    return _mm256_mul_ps(scale_, _mm256_cvtepi32_ps(_mm256_sub_epi32(values, zero_point_)));
  }

 private:
  __m256 scale_;
  __m256i zero_point_;
};

template <>
class Avx2::Scaled<UInt8> : public Avx2Integers {
 public:
  QUERN_TARGET Vector load(const std::uint8_t* source) const {
    return widen(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(source))));
  }
};

template <>
class Avx2::Scaled<UInt4> : public Avx2Integers {
 public:
  QUERN_TARGET Vector load(const std::uint8_t* source) const {
    std::int32_t word;
    std::memcpy(&word, source, sizeof(word));
    const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    const __m256i shifted = _mm256_srlv_epi32(_mm256_set1_epi32(word), shifts);
    return widen(_mm256_and_si256(shifted, _mm256_set1_epi32(15)));
  }
};

/// The bits of E4M3 lie in float32's below an exponent that is 120 too small; NaN apart.
template <>
class Avx2::Scaled<Float8E4M3> {
 public:
  QUERN_TARGET void set(float scale, int /*zero_point*/) { scale_ = _mm256_set1_ps(scale); }
  QUERN_TARGET Vector load(const std::uint8_t* source) const {
    const __m256i bits =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(source)));
    const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7f));
    const __m256i sign = _mm256_slli_epi32(_mm256_xor_si256(bits, magnitude), 24);
    const Vector small = _mm256_castsi256_ps(_mm256_slli_epi32(magnitude, 20));
    const Vector value = _mm256_mul_ps(small, _mm256_set1_ps(0x1p120f));
    const __m256i is_nan = _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(0x7f));
    const Vector with_sign = _mm256_or_ps(value, _mm256_castsi256_ps(sign));
    return _mm256_mul_ps(scale_, _mm256_or_ps(with_sign, _mm256_castsi256_ps(is_nan)));
  }

 private:
  Vector scale_;
};

}  // namespace

const VectorKernels* avx2_kernels() {
  static constexpr VectorKernels kKernels = {dot_rows<Avx2>,      accumulate_rows<Avx2>,
                                             dot_quantized<Avx2>, softmax_numerators<Avx2>,
                                             apply<Avx2, Silu>,   apply<Avx2, GeluTanh>};
  const bool has_them =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  return has_them ? &kKernels : nullptr;
}

}  // namespace quern::cpu

#else

namespace quern::cpu {

const VectorKernels* avx2_kernels() { return nullptr; }

}  // namespace quern::cpu

#endif
