#include "backend/cpu/gemm/vector_kernels.h"

#if defined(__x86_64__)

#if !defined(__clang__)
// g++ 11 and 12 warn about undefined operands in their own intrinsics (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cmath>
#include <cstring>

#define QUERN_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")))

#include "backend/cpu/gemm/block_products.h"
#include "backend/cpu/gemm/quantized_products.h"
#include "backend/cpu/gemm/vector_functions.h"

namespace quern::cpu {
namespace {

struct Avx512 {
  using Vector = __m512;
  static constexpr std::int64_t kLanes = 16;
  // 32 registers: 24 accumulators, four of a, one of b. Each value of b serves four rows, of a six.
  static constexpr int kColumnsOfFour = 6;

  template <typename T>
  class Scaled;

  QUERN_TARGET static Vector load(const float* source) { return _mm512_loadu_ps(source); }
  QUERN_TARGET static Vector load(const Half* source) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
  }
  QUERN_TARGET static Vector load(const BFloat16* source) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  QUERN_TARGET static float widen(Half value) { return _cvtsh_ss(value.bits); }
  QUERN_TARGET static void store(float* out, Vector x) { _mm512_storeu_ps(out, x); }
  QUERN_TARGET static Vector zero() { return _mm512_setzero_ps(); }
  QUERN_TARGET static Vector broadcast(float x) { return _mm512_set1_ps(x); }

  QUERN_TARGET static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  QUERN_TARGET static float fma(float a, float b, float c) { return std::fma(a, b, c); }
  QUERN_TARGET static Vector fnma(Vector a, Vector b, Vector c) {
    return _mm512_fnmadd_ps(a, b, c);
  }
  QUERN_TARGET static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  QUERN_TARGET static Vector subtract(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
  QUERN_TARGET static Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  QUERN_TARGET static Vector divide(Vector a, Vector b) { return _mm512_div_ps(a, b); }
  QUERN_TARGET static Vector min(Vector a, Vector b) { return _mm512_min_ps(a, b); }
  QUERN_TARGET static Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }
  QUERN_TARGET static Vector round(Vector x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  QUERN_TARGET static Vector scale(Vector x, Vector power) { return _mm512_scalef_ps(x, power); }

  QUERN_TARGET static float horizontal_sum(Vector lanes) {
    const __m256 halves =
        _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
  }
};

template <>
class Avx512::Scaled<UInt8> {
 public:
  QUERN_TARGET void set(float scale, int zero_point) {
    scale_ = _mm512_set1_ps(scale);
    zero_point_ = _mm512_set1_epi32(zero_point);
  }
  QUERN_TARGET Vector load(const std::uint8_t* source) const {
    const __m512i values =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
    return _mm512_mul_ps(scale_, _mm512_cvtepi32_ps(_mm512_sub_epi32(values, zero_point_)));
  }

 private:
  Vector scale_;
  __m512i zero_point_;
};

/// A group of 4 bits has 16 values, one for each lane of a register, where a permutation finds
/// them.
template <>
class Avx512::Scaled<UInt4> {
 public:
  QUERN_TARGET void set(float scale, int zero_point) {
    const __m512i all = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i differences = _mm512_sub_epi32(all, _mm512_set1_epi32(zero_point));
    numbers_ = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_cvtepi32_ps(differences));
  }
  QUERN_TARGET Vector load(const std::uint8_t* source) const {
    std::int64_t words;
    std::memcpy(&words, source, sizeof(words));
    const __m512i halves = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i shifts =
        _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
    const __m512i spread = _mm512_permutexvar_epi32(halves, _mm512_set1_epi64(words));
    // Of each index a permutation reads the low four bits.
    return _mm512_permutexvar_ps(_mm512_srlv_epi32(spread, shifts), numbers_);
  }

 private:
  Vector numbers_;
};

/// The bits of E4M3 lie in float32's below an exponent that is 120 too small; NaN apart.
template <>
class Avx512::Scaled<Float8E4M3> {
 public:
  QUERN_TARGET void set(float scale, int /*zero_point*/) { scale_ = _mm512_set1_ps(scale); }
  QUERN_TARGET Vector load(const std::uint8_t* source) const {
    const __m512i bits =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
    const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7f));
    const __m512i sign = _mm512_slli_epi32(_mm512_xor_si512(bits, magnitude), 24);
    const Vector small = _mm512_castsi512_ps(_mm512_slli_epi32(magnitude, 20));
    const Vector value = _mm512_mul_ps(small, _mm512_set1_ps(0x1p120f));
    const Vector with_sign = _mm512_or_ps(value, _mm512_castsi512_ps(sign));
    const __mmask16 is_nan = _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7f));
    const Vector nan = _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000));
    return _mm512_mul_ps(scale_, _mm512_mask_mov_ps(with_sign, is_nan, nan));
  }

 private:
  Vector scale_;
};

}  // namespace

const VectorKernels* avx512_kernels() {
  static constexpr VectorKernels kKernels = {dot_rows<Avx512>,      accumulate_rows<Avx512>,
                                             dot_quantized<Avx512>, softmax_numerators<Avx512>,
                                             apply<Avx512, Silu>,   apply<Avx512, GeluTanh>};
  const bool has_them = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("fma") && has_f16c();
  return has_them ? &kKernels : nullptr;
}

bool has_fast_avx512() { return avx512_kernels() != nullptr && !__builtin_cpu_is("amdfam19h"); }

}  // namespace quern::cpu

#else

namespace quern::cpu {

const VectorKernels* avx512_kernels() { return nullptr; }
bool has_fast_avx512() { return false; }

}  // namespace quern::cpu

#endif
