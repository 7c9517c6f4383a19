#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/common/convert.cuh"
#include "quern/dtype.h"

namespace quern::kernels {

/// Element `index` of an array of float32, float16 or bfloat16.
__device__ inline float load_element(DType dtype, const void* array, std::int64_t index) {
  if (dtype == DType::float32) return static_cast<const float*>(array)[index];
  if (dtype == DType::float16) return to_float(static_cast<const __half*>(array)[index]);
  return to_float(static_cast<const __nv_bfloat16*>(array)[index]);
}

/// Stores an element as float32, float16 or bfloat16, rounded to nearest even.
__device__ inline void store_element(DType dtype, void* array, std::int64_t index, float value) {
  if (dtype == DType::float32) {
    static_cast<float*>(array)[index] = value;
  } else if (dtype == DType::float16) {
    static_cast<__half*>(array)[index] = from_float<__half>(value);
  } else {
    static_cast<__nv_bfloat16*>(array)[index] = from_float<__nv_bfloat16>(value);
  }
}

/// A 16-byte load through the read-only path, bypassing L1: for data that a block reads once.
__device__ inline uint4 load_16_bytes_once(const void* source) {
  uint4 words;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "l"(source));
  return words;
}

/// Prefetches the 128 bytes around an address to L2.
__device__ inline void prefetch_to_l2(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

/// The elements of T in 16 bytes.
template <typename T>
inline constexpr int kElementsOf16Bytes = 16 / sizeof(T);

/// Those elements as float32.
template <typename T>
__device__ inline void unpack_16_bytes(const uint4& words, float (&values)[kElementsOf16Bytes<T>]) {
  const std::uint32_t parts[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (std::is_same_v<T, float>) {
      values[i] = __uint_as_float(parts[i]);
    } else {
      const float2 pair = unpack<T>(parts[i]);
      values[2 * i] = pair.x;
      values[2 * i + 1] = pair.y;
    }
  }
}

/// The reverse, rounding to nearest even.
template <typename T>
__device__ inline uint4 pack_16_bytes(const float (&values)[kElementsOf16Bytes<T>]) {
  if constexpr (std::is_same_v<T, float>) {
    return {__float_as_uint(values[0]), __float_as_uint(values[1]), __float_as_uint(values[2]),
            __float_as_uint(values[3])};
  } else {
    return {pack<T>(values[0], values[1]), pack<T>(values[2], values[3]),
            pack<T>(values[4], values[5]), pack<T>(values[6], values[7])};
  }
}

/// Four consecutive elements as float32; aligned to their size.
template <typename T>
__device__ inline float4 load_4(const T* source) {
  if constexpr (std::is_same_v<T, float>) {
    return *reinterpret_cast<const float4*>(source);
  } else {
    const uint2 words = *reinterpret_cast<const uint2*>(source);
    const float2 low = unpack<T>(words.x);
    const float2 high = unpack<T>(words.y);
    return {low.x, low.y, high.x, high.y};
  }
}

/// The reverse, rounding to nearest even.
template <typename T>
__device__ inline void store_4(T* destination, const float4& values) {
  if constexpr (std::is_same_v<T, float>) {
    *reinterpret_cast<float4*>(destination) = values;
  } else {
    *reinterpret_cast<uint2*>(destination) = {pack<T>(values.x, values.y),
                                              pack<T>(values.z, values.w)};
  }
}

/// kWidth (1 or 4) consecutive elements.
template <int kWidth>
struct Elements {
  float at[kWidth];
};

template <int kWidth, typename T>
__device__ inline Elements<kWidth> load_elements(const T* source) {
  if constexpr (kWidth == 4) {
    const float4 four = load_4(source);
    return {{four.x, four.y, four.z, four.w}};
  } else {
    static_assert(kWidth == 1);
    return {{to_float(*source)}};
  }
}

template <int kWidth, typename T>
__device__ inline void store_elements(T* destination, const Elements<kWidth>& values) {
  if constexpr (kWidth == 4) {
    store_4(destination, {values.at[0], values.at[1], values.at[2], values.at[3]});
  } else {
    *destination = from_float<T>(values.at[0]);
  }
}

}  // namespace quern::kernels
