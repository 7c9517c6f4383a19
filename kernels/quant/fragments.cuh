#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "kernels/quant/quantized_weight.h"

namespace quern::kernels {

// A lane's part of a segment, 32 inputs of one row of a tile: four words of two elements of T, of
// inputs 2 t + {0, 8, 16, 24} and the next, with t = lane % 4. They are value - zero point,
// exactly: integers of up to eight bits are numbers of both 16-bit types. Source: the bits of a
// float's significand are an integer, so 0x6400 | q is the float16 1024 + q (Kim et al. 2022, "Who
// says elephants can't run", 2211.10017; FasterTransformer).

inline constexpr int kSegmentInputs = 32;

template <typename T>
__device__ inline std::uint32_t subtract(std::uint32_t a, std::uint32_t b) {
  using Pair = std::conditional_t<std::is_same_v<T, __half>, __half2, __nv_bfloat162>;
  const Pair difference =
      __hsub2(reinterpret_cast<const Pair&>(a), reinterpret_cast<const Pair&>(b));
  return reinterpret_cast<const std::uint32_t&>(difference);
}

/// (a & mask) | bits in one instruction.
__device__ inline std::uint32_t masked_or(std::uint32_t a, std::uint32_t mask, std::uint32_t bits) {
  std::uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(a), "r"(mask), "r"(bits));
  return result;
}

/// What a row's zero point is subtracted by.
template <typename T, DType kStored>
struct ZeroPoint;

template <typename T, DType kStored>
struct Fragments;

template <>
struct ZeroPoint<__half, DType::uint4> {
  std::uint32_t low;   ///< 1024 + z, twice
  std::uint32_t high;  ///< -(64 + z), twice
  __device__ explicit ZeroPoint(int z)
      : low((0x6400u + z) * 0x10001u), high((0xd400u + 16u * z) * 0x10001u) {}
};
template <>
struct Fragments<__half, DType::uint4> {
  static constexpr int kWords = 1;  ///< of a row and segment
  __device__ static void dequantize(const std::uint32_t* words,
                                    const ZeroPoint<__half, DType::uint4>& zero,
                                    std::uint32_t (&out)[4]) {
    const std::uint32_t sixteenth = 0x2c002c00u;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t word = words[0] >> (8 * half);
      out[2 * half] = subtract<__half>(masked_or(word, 0x000f000fu, 0x64006400u), zero.low);
      const std::uint32_t high = masked_or(word, 0x00f000f0u, 0x64006400u);  // 1024 + 16 q
      const __half2 value = __hfma2(reinterpret_cast<const __half2&>(high),
                                    reinterpret_cast<const __half2&>(sixteenth),
                                    reinterpret_cast<const __half2&>(zero.high));
      out[2 * half + 1] = reinterpret_cast<const std::uint32_t&>(value);
    }
  }
};

template <>
struct ZeroPoint<__nv_bfloat16, DType::uint4> {
  std::uint32_t bits;  ///< 128 + z, twice
  __device__ explicit ZeroPoint(int z) : bits((0x4300u + z) * 0x10001u) {}
};
template <>
struct Fragments<__nv_bfloat16, DType::uint4> {
  static constexpr int kWords = 1;
  __device__ static void dequantize(const std::uint32_t* words,
                                    const ZeroPoint<__nv_bfloat16, DType::uint4>& zero,
                                    std::uint32_t (&out)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out[i] = subtract<__nv_bfloat16>(masked_or(words[0] >> (4 * i), 0x000f000fu, 0x43004300u),
                                       zero.bits);
    }
  }
};

template <>
struct ZeroPoint<__half, DType::uint8> {
  std::uint32_t bits;  ///< 1024 + z, twice
  __device__ explicit ZeroPoint(int z) : bits((0x6400u + z) * 0x10001u) {}
};
template <>
struct Fragments<__half, DType::uint8> {
  static constexpr int kWords = 2;
  __device__ static void dequantize(const std::uint32_t* words,
                                    const ZeroPoint<__half, DType::uint8>& zero,
                                    std::uint32_t (&out)[4]) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      out[2 * i] = subtract<__half>(__byte_perm(words[i], 0x64646464u, 0x4240), zero.bits);
      out[2 * i + 1] = subtract<__half>(__byte_perm(words[i], 0x64646464u, 0x4341), zero.bits);
    }
  }
};

template <>
struct ZeroPoint<__nv_bfloat16, DType::uint8> {
  float value;  ///< 2^23 + z
  __device__ explicit ZeroPoint(int z) : value(static_cast<float>(0x800000 + z)) {}
};
template <>
struct Fragments<__nv_bfloat16, DType::uint8> {
  static constexpr int kWords = 2;
  /// bfloat16 has no room for eight bits beside an implicit one; float32 has.
  __device__ static void dequantize(const std::uint32_t* words,
                                    const ZeroPoint<__nv_bfloat16, DType::uint8>& zero,
                                    std::uint32_t (&out)[4]) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        const auto number = [&](int byte) {
          return __uint_as_float(__byte_perm(words[i], 0x4b000000u, 0x7650 | byte)) - zero.value;
        };
        const __nv_bfloat162 both = __floats2bfloat162_rn(number(pair), number(pair + 2));
        out[2 * i + pair] = reinterpret_cast<const std::uint32_t&>(both);
      }
    }
  }
};

/// float8 has no zero point. Its exponent's bias is 7, float16's 15: the same bits are 2^-8 of the
/// number in float16, subnormal ones included, and the scale makes up for it.
template <>
struct ZeroPoint<__half, DType::float8_e4m3> {
  __device__ explicit ZeroPoint(int) {}
};
template <>
struct Fragments<__half, DType::float8_e4m3> {
  static constexpr int kWords = 2;
  __device__ static void dequantize(const std::uint32_t* words,
                                    const ZeroPoint<__half, DType::float8_e4m3>&,
                                    std::uint32_t (&out)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t bits = i % 2 == 0 ? words[i / 2] << 8 : words[i / 2];
      out[i] = (bits & 0x80008000u) | (bits >> 1 & 0x3f803f80u);
    }
  }
};

/// In bfloat16 the bits are 2^-120 of the number, which products would lose.
template <>
struct ZeroPoint<__nv_bfloat16, DType::float8_e4m3> {
  __device__ explicit ZeroPoint(int) {}
};
template <>
struct Fragments<__nv_bfloat16, DType::float8_e4m3> {
  static constexpr int kWords = 2;
  __device__ static void dequantize(const std::uint32_t* words,
                                    const ZeroPoint<__nv_bfloat16, DType::float8_e4m3>&,
                                    std::uint32_t (&out)[4]) {
    const std::uint32_t factor = 0x7b807b80u;  // 2^120
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t bits = i % 2 == 0 ? words[i / 2] << 8 : words[i / 2];
      const std::uint32_t small = (bits & 0x80008000u) | (bits >> 4 & 0x07f007f0u);
      const __nv_bfloat162 value = __hmul2(reinterpret_cast<const __nv_bfloat162&>(small),
                                           reinterpret_cast<const __nv_bfloat162&>(factor));
      out[i] = reinterpret_cast<const std::uint32_t&>(value);
    }
  }
};

/// What the fragments' numbers are of the real ones.
template <typename T, DType kStored>
inline constexpr float kFragmentScale =
    kStored == DType::float8_e4m3&& std::is_same_v<T, __half> ? 256.0f : 1.0f;

/// The zero point of a symmetric format.
template <DType kStored>
inline constexpr int kSymmetricZeroPoint = kStored == DType::uint4   ? 8
                                           : kStored == DType::uint8 ? 128
                                                                     : 0;

template <DType kStored>
inline constexpr int kQuantTileInputs = quant_tile_inputs(kStored);
template <DType kStored>
inline constexpr int kSegmentsOfTile = kQuantTileInputs<kStored> / kSegmentInputs;

}  // namespace quern::kernels
