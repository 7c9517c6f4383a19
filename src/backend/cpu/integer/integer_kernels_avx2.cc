#include "backend/cpu/integer/integer_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "base/half.h"

#define QUERN_TARGET __attribute__((target("avx2,fma,f16c")))

#include "backend/cpu/integer/integer_products.h"
#include "backend/cpu/integer/integer_registers.h"

namespace quern::cpu {
namespace {

struct Avx2Integers : IntegerRegisters {
  static constexpr int kMaxRows = 2;

  /// Sums of two products of 16 bits cannot overflow; those of bytes could.
  QUERN_TARGET static Ints dot(Ints sums, Block values, Block inputs) {
    const Ints low = pair_products(_mm256_castsi256_si128(values), _mm256_castsi256_si128(inputs));
    const Ints high =
        pair_products(_mm256_extracti128_si256(values, 1), _mm256_extracti128_si256(inputs, 1));
    return _mm256_add_epi32(sums, _mm256_add_epi32(low, high));
  }

 private:
  QUERN_TARGET static Ints pair_products(__m128i values, __m128i inputs) {
    return _mm256_madd_epi16(_mm256_cvtepu8_epi16(values), _mm256_cvtepi8_epi16(inputs));
  }
};

}  // namespace

IntegerDot avx2_integer_dot() {
  const bool has_it = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  return has_it ? &integer_dot_with<Avx2Integers> : nullptr;
}

}  // namespace quern::cpu

#else

namespace quern::cpu {

IntegerDot avx2_integer_dot() { return nullptr; }

}  // namespace quern::cpu

#endif
