#pragma once

#include <cstddef>
#include <span>

#include "base/dtype.h"

namespace quern {

// The definition of the 8-bit KV formats: a vector, one head of a token's key or value, is numbers
// times one float32 scale. The limit L of the numbers is 127 for uint8 (integers, stored plus 128)
// and 448 for float8_e4m3. Arithmetic is float32, every operation rounded to nearest even.

/// Vectors whose largest magnitude is below this count as zero: its inverse would overflow.
inline constexpr float kSmallestKvMagnitude = 0x1p-100f;
/// From here on a magnitude counts as infinite: the largest number times its scale could overflow.
inline constexpr float kInfiniteKvMagnitude = 0x1p127f;

/// The largest number of a format.
constexpr float kv_limit(DType stored) { return stored == DType::uint8 ? 127.0f : 448.0f; }

/// Quantizes a vector that is rounded to the activation dtype. With m = max |x|: the scale is m / L
/// and a number is x · (L / m), rounded to the nearest number of the format, to even on a tie. A
/// vector of m < kSmallestKvMagnitude has the scale 0 and numbers 0; one with a NaN or a
/// magnitude of kInfiniteKvMagnitude or more has the scale NaN and numbers 0, so that what attends
/// to it becomes NaN. Returns the scale; `numbers` has a byte for each element.
float quantize_kv_vector(DType stored, std::span<const float> vector, std::byte* numbers);

/// out[i] = number[i] · scale, rounded to float32.
void dequantize_kv_vector(DType stored, const std::byte* numbers, float scale,
                          std::span<float> out);

}  // namespace quern
