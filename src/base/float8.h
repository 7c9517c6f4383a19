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
  if (std::isnan(value)) return 0x7f;
  const float rounded = round_to_float8_e4m3(value);
  const unsigned sign = std::signbit(value) ? 0x80u : 0u;
  const float magnitude = std::fabs(rounded);
  if (magnitude < 0x1p-6f) return static_cast<std::uint8_t>(sign | std::lround(magnitude * 512));
  const int exponent = std::ilogb(magnitude);
  const auto mantissa = static_cast<unsigned>(std::lround(std::ldexp(magnitude, 3 - exponent)));
  return static_cast<std::uint8_t>(sign | static_cast<unsigned>(exponent + 7) << 3 |
                                   (mantissa - 8));
}

}  // namespace quern
