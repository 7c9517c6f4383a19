#pragma once

#include <cuda_fp8.h>

#include <cstdint>

#include "kernels/attention/attention.h"
#include "kernels/common/convert.cuh"
#include "kernels/common/reduce.cuh"

namespace quern::kernels {

// Vectors of 8-bit numbers with a scale, as graph/kv_vector.h defines them.

/// Which of a storage's vectors have scales, and their numbers' type.
template <KvStorage kStorage>
struct StorageTraits {
  static constexpr bool kScaledValues = kStorage != KvStorage::unscaled;
  static constexpr bool kScaledKeys = kScaledValues && kStorage != KvStorage::k16v8;
  static constexpr DType kStored = kStorage == KvStorage::fp8 ? DType::float8_e4m3 : DType::uint8;
};

/// A number as float32.
__device__ inline float number_of(DType stored, std::uint8_t byte) {
  if (stored == DType::uint8) return static_cast<float>(byte) - 128.0f;
  // float8's bits are 2^-120 of the number in float32: its exponent's bias is 7 in place of 127.
  const std::uint32_t bits = (byte & 0x80u) << 24 | (byte & 0x7fu) << 20;
  return __uint_as_float(bits) * 0x1p120f;
}

/// Quantizes a vector in shared memory; by one warp. Returns the scale, in all lanes.
template <typename T>
__device__ inline float quantize_vector(DType stored, const T* vector, int size,
                                        std::uint8_t* numbers) {
  const int lane = threadIdx.x % kWarpSize;
  float largest = 0.0f;
  bool finite = true;
  for (int i = lane; i < size; i += kWarpSize) {
    const float magnitude = fabsf(to_float(vector[i]));
    finite = finite && magnitude < 0x1p127f;
    largest = fmaxf(largest, magnitude);
  }
  largest = warp_max(largest);
  finite = __all_sync(~0u, finite);
  const float limit = stored == DType::uint8 ? 127.0f : 448.0f;
  const bool zero = !finite || largest < 0x1p-100f;
  const float inverse = zero ? 0.0f : __fdiv_rn(limit, largest);
  for (int i = lane; i < size; i += kWarpSize) {
    const float number = zero ? 0.0f : __fmul_rn(to_float(vector[i]), inverse);
    if (stored == DType::uint8) {
      numbers[i] = static_cast<std::uint8_t>(__float2int_rn(number) + 128);
    } else {
      numbers[i] = __nv_cvt_float_to_fp8(number, __NV_SATFINITE, __NV_E4M3);
    }
  }
  if (!finite) return NAN;
  return zero ? 0.0f : __fdiv_rn(largest, limit);
}

/// Two of a word's four numbers as a pair of T: the lower two for kHalf 0, else the upper. A number
/// is the pair's element times kNumberUnit. Sources: see kernels/quant/fragments.cuh.
template <typename T, DType kStored, int kHalf>
__device__ inline std::uint32_t number_pair(std::uint32_t word) {
  constexpr bool kFloat16 = std::is_same_v<T, __half>;
  if constexpr (kStored == DType::uint8 && kFloat16) {
    // 0x6400 | q is the float16 1024 + q.
    const std::uint32_t bits = __byte_perm(word, 0x64646464u, kHalf == 0 ? 0x4140 : 0x4342);
    const std::uint32_t zero = 0x64806480u;  // 1152
    const __half2 pair =
        __hsub2(reinterpret_cast<const __half2&>(bits), reinterpret_cast<const __half2&>(zero));
    return reinterpret_cast<const std::uint32_t&>(pair);
  } else if constexpr (kStored == DType::uint8) {
    // bfloat16 has no room for eight bits beside an implicit one; float32 has: 2^23 + q.
    const auto number = [&](int byte) {
      return __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7650 | byte)) - 8388736.0f;
    };
    return pack<T>(number(2 * kHalf), number(2 * kHalf + 1));
  } else {
    const std::uint32_t bits = __byte_perm(word, 0, kHalf == 0 ? 0x1404 : 0x3424);
    if constexpr (kFloat16) {
      return (bits & 0x80008000u) | (bits >> 1 & 0x3f803f80u);
    } else {
      const std::uint32_t small = (bits & 0x80008000u) | (bits >> 4 & 0x07f007f0u);
      const std::uint32_t factor = 0x7b807b80u;  // 2^120
      const __nv_bfloat162 pair = __hmul2(reinterpret_cast<const __nv_bfloat162&>(small),
                                          reinterpret_cast<const __nv_bfloat162&>(factor));
      return reinterpret_cast<const std::uint32_t&>(pair);
    }
  }
}

template <typename T, DType kStored>
inline constexpr float kNumberUnit =
    kStored == DType::float8_e4m3&& std::is_same_v<T, __half> ? 256.0f : 1.0f;

/// What scales of values are multiplied by before they enter the weights, a power of two: weights
/// are rounded to T, whose float16 has few bits for small numbers. The factor makes the largest
/// scale so far 2^7 to 2^14.
class ScaleFactor {
 public:
  __device__ float factor() const { return factor_; }

  /// Whether a scale is too large for the factor.
  __device__ bool is_exceeded_by(float scale) const { return scale * factor_ > 0x1p14f; }

  /// Chooses the factor for a scale that is the largest so far; returns what sums are multiplied
  /// by.
  __device__ float lower(float scale) {
    const float inverse = 1.0f / factor_;
    factor_ = __uint_as_float((261u - (__float_as_uint(scale) >> 23)) << 23);
    return factor_ * inverse;
  }

 private:
  float factor_ = 0x1p100f;
};

}  // namespace quern::kernels
