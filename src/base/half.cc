#include "base/half.h"

#include <cstring>

#include "base/check.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace quern {

#if defined(__x86_64__)

bool has_f16c() {
  static const bool value = [] {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    // clang 14's __builtin_cpu_supports knows AVX, but not F16C.
    return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) != 0 &&
           (c & bit_F16C) != 0;
  }();
  return value;
}

#else

bool has_f16c() { return false; }

#endif

namespace {

#if defined(__x86_64__)

__attribute__((target("avx,f16c"))) std::size_t load_halves_f16c(const std::byte* source,
                                                                 std::span<float> out) {
  std::size_t i = 0;
  for (; i + 8 <= out.size(); i += 8) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + 2 * i));
    _mm256_storeu_ps(out.data() + i, _mm256_cvtph_ps(bits));
  }
  return i;
}

__attribute__((target("avx,f16c"))) std::size_t store_halves_f16c(std::span<const float> values,
                                                                  std::byte* destination) {
  std::size_t i = 0;
  for (; i + 8 <= values.size(); i += 8) {
    const __m128i bits = _mm256_cvtps_ph(_mm256_loadu_ps(values.data() + i),
                                         _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(destination + 2 * i), bits);
  }
  return i;
}

#else

std::size_t load_halves_f16c(const std::byte*, std::span<float>) { return 0; }
std::size_t store_halves_f16c(std::span<const float>, std::byte*) { return 0; }

#endif

template <typename T>
void load_each(const std::byte* source, std::span<float> out, std::size_t begin) {
  for (std::size_t i = begin; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, source + i * sizeof(T), sizeof(T));  // file bytes may be unaligned
    out[i] = to_float(value);
  }
}

}  // namespace

void load_floats(DType dtype, const std::byte* source, std::span<float> out) {
  if (out.empty()) return;
  switch (dtype) {
    case DType::float32:
      std::memcpy(out.data(), source, out.size_bytes());
      return;
    case DType::float16:
      return load_each<Half>(source, out, has_f16c() ? load_halves_f16c(source, out) : 0);
    case DType::bfloat16:
      return load_each<BFloat16>(source, out, 0);
    default:
      QUERN_CHECK(false, "load_floats from {}", dtype_name(dtype));
  }
}

void store_floats(DType dtype, std::span<const float> values, std::byte* destination) {
  if (values.empty()) return;
  switch (dtype) {
    case DType::float32:
      std::memcpy(destination, values.data(), values.size_bytes());
      return;
    case DType::float16:
      for (std::size_t i = has_f16c() ? store_halves_f16c(values, destination) : 0;
           i < values.size(); ++i) {
        const Half value = to_half(values[i]);
        std::memcpy(destination + 2 * i, &value, 2);
      }
      return;
    case DType::bfloat16:
      for (std::size_t i = 0; i < values.size(); ++i) {
        const BFloat16 value = to_bfloat16(values[i]);
        std::memcpy(destination + 2 * i, &value, 2);
      }
      return;
    default:
      QUERN_CHECK(false, "store_floats to {}", dtype_name(dtype));
  }
}

}  // namespace quern
