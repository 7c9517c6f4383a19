#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace quern::kernels {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

/// `value` rounded to nearest even; float16 overflows to infinity.
template <typename T>
__device__ inline T from_float(float value) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(value);
  } else {
    static_assert(std::is_same_v<T, float>);
    return value;
  }
}

/// Two 16-bit elements in one register, `low` at the lower address.
template <typename T>
__device__ inline std::uint32_t pack(float low, float high) {
  std::uint32_t word;
  if constexpr (std::is_same_v<T, __half>) {
    const __half2 pair = __floats2half2_rn(low, high);
    word = reinterpret_cast<const std::uint32_t&>(pair);
  } else {
    static_assert(std::is_same_v<T, __nv_bfloat16>);
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    word = reinterpret_cast<const std::uint32_t&>(pair);
  }
  return word;
}

/// The reverse of pack().
template <typename T>
__device__ inline float2 unpack(std::uint32_t word) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half22float2(reinterpret_cast<const __half2&>(word));
  } else {
    static_assert(std::is_same_v<T, __nv_bfloat16>);
    return {__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u)};
  }
}

}  // namespace quern::kernels
