#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace quern {

namespace float8_detail {

/// The value of E4M3 bits: bias 7, subnormals, 0x7f and 0xff are NaN, no infinities.
constexpr float decode(unsigned bits) {
  const unsigned exponent = (bits >> 3) & 15u;
  const unsigned mantissa = bits & 7u;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  float value = static_cast<float>(exponent == 0 ? mantissa : 8 + mantissa) / 512.0f;
  for (unsigned i = 1; i < exponent; ++i) value *= 2.0f;
  return (bits & 0x80u) != 0 ? -value : value;
}

constexpr std::array<float, 256> decode_all() {
  std::array<float, 256> values{};
  for (unsigned bits = 0; bits < 256; ++bits) values[bits] = decode(bits);
  return values;
}

}  // namespace float8_detail

/// The float32 values of all 256 E4M3 bit patterns (OCP 8-bit floating point, torch's e4m3fn).
inline constexpr std::array<float, 256> kFloat8E4M3 = float8_detail::decode_all();

inline constexpr float kFloat8E4M3Max = 448.0f;

/// `value` rounded to the nearest E4M3 number, to even on a tie; beyond ±448 it saturates, NaN
/// stays.
inline float round_to_float8_e4m3(float value) {
  if (std::isnan(value)) return value;
  const float magnitude = std::fabs(value);
  if (magnitude >= kFloat8E4M3Max) return std::copysign(kFloat8E4M3Max, value);
  // The spacing is 2^(exponent - 3), and no less than the subnormals' 2^-9.
  const int exponent = magnitude < 0x1p-6f ? -6 : std::ilogb(magnitude);
  const float unit = std::ldexp(1.0f, exponent - 3);
  return std::nearbyint(value / unit) * unit;
}

/// The bits of that number; NaN is 0x7f.
inline std::uint8_t float8_e4m3_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 24 & 0x80u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7f;
  if (magnitude >= 0x43e00000u) return static_cast<std::uint8_t>(sign | 0x7eu);  // 448
  if (magnitude < 0x3c800000u) {  // subnormal: let the adder round at 2^-9
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14f;
    return static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x46800000u));
  }
  const std::uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
  return static_cast<std::uint8_t>(sign | ((rounded >> 20) - (120u << 3)));
}

}  // namespace quern
