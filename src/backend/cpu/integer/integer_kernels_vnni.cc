#include "backend/cpu/integer/integer_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "base/half.h"

#define QUERN_TARGET __attribute__((target("avx2,fma,f16c,avx512f,avx512vl,avx512vnni")))

#include "backend/cpu/integer/integer_products.h"
#include "backend/cpu/integer/integer_registers.h"

namespace quern::cpu {
namespace {

struct VnniIntegers : IntegerRegisters {
  static constexpr int kMaxRows = 4;

  QUERN_TARGET static Ints dot(Ints sums, Block values, Block inputs) {
    return _mm256_dpbusd_epi32(sums, values, inputs);
  }
};

}  // namespace

IntegerDot vnni_integer_dot() {
  const bool has_it = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma") &&
                      has_f16c();
  return has_it ? &integer_dot_with<VnniIntegers> : nullptr;
}

}  // namespace quern::cpu

#else

namespace quern::cpu {

IntegerDot vnni_integer_dot() { return nullptr; }

}  // namespace quern::cpu

#endif
