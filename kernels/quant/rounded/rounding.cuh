#pragma once

#include <cuda_fp8.h>

#include <cstdint>

namespace quern::kernels {

/// The bits of |x|, which order as numbers do, with what is not finite above all others.
__device__ inline std::uint32_t magnitude_bits(float x) { return __float_as_uint(fabsf(x)); }

/// The scale of numbers whose largest magnitude has these bits; NaN if one is not finite.
__device__ inline float scale_of(std::uint32_t largest_bits, float max_value) {
  constexpr std::uint32_t kInfinity = 0x7f800000u;
  return largest_bits >= kInfinity ? __uint_as_float(0x7fffffffu)
                                   : __fdiv_rn(__uint_as_float(largest_bits), max_value);
}

inline constexpr float kMaxInt8 = 127.0f;

/// x / scale, rounded half to even; 0 where the scale is 0 or NaN. A quotient may exceed 127 where
/// the scale is subnormal.
__device__ inline float int8_value(float x, float scale) {
  if (!(scale > 0.0f)) return 0.0f;
  return rintf(fminf(fmaxf(__fdiv_rn(x, scale), -kMaxInt8), kMaxInt8));
}

inline constexpr float kMaxFloat8 = 448.0f;

/// x / scale, rounded to E4M3, half to even; 0 where the scale is 0 or NaN.
__device__ inline __nv_fp8_storage_t float8_bits(float x, float scale) {
  if (!(scale > 0.0f)) return 0;
  return __nv_cvt_float_to_fp8(__fdiv_rn(x, scale), __NV_SATFINITE, __NV_E4M3);
}

/// kCount (1, 4 or 8) values as bytes at `out`, aligned to as many.
template <int kCount>
__device__ inline void store_int8(std::int8_t* out, const int (&values)[kCount]) {
  const auto word = [&](int first) {
    return static_cast<std::uint32_t>(values[first] & 255) |
           static_cast<std::uint32_t>(values[first + 1] & 255) << 8 |
           static_cast<std::uint32_t>(values[first + 2] & 255) << 16 |
           static_cast<std::uint32_t>(values[first + 3] & 255) << 24;
  };
  if constexpr (kCount == 8) {
    *reinterpret_cast<uint2*>(out) = {word(0), word(4)};
  } else if constexpr (kCount == 4) {
    *reinterpret_cast<std::uint32_t*>(out) = word(0);
  } else {
    static_assert(kCount == 1);
    *out = static_cast<std::int8_t>(values[0]);
  }
}

}  // namespace quern::kernels
