#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace quern {

/// IEEE binary16 bits. Conversions round to nearest even; overflow becomes infinity, NaN is kept.
struct Half {
  std::uint16_t bits = 0;
};

/// The upper half of a binary32. Conversions round to nearest even; NaN is kept.
struct BFloat16 {
  std::uint16_t bits = 0;
};

inline float to_float(Half value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = value.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) {  // infinity and NaN keep their payload
    return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  }
  // Scaling the exponent by a product with 2^112 also converts subnormals correctly.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
}

inline float to_float(BFloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

inline float to_float(float value) { return value; }

inline Half to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
  if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};
  if (magnitude < 0x38800000u) {  // subnormal or zero: let the adder round at 2^-24
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return {
        static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u))};
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
}

inline BFloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
  }
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

/// `value` rounded to `dtype` (float32, float16 or bfloat16), as float32.
inline float round_to(DType dtype, float value) {
  if (dtype == DType::float16) return to_float(to_half(value));
  if (dtype == DType::bfloat16) return to_float(to_bfloat16(value));
  return value;
}

/// True where the CPU converts float16 in hardware (x86 with F16C).
bool has_f16c();

/// Converts `out.size()` elements of `dtype` (float32, float16 or bfloat16) starting at `source`.
void load_floats(DType dtype, const std::byte* source, std::span<float> out);

/// The reverse, rounding to nearest even.
void store_floats(DType dtype, std::span<const float> values, std::byte* destination);

}  // namespace quern
