#include "graph/kv_vector.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/check.h"
#include "base/float8.h"
#include "graph/kv_format.h"

namespace quern {
namespace {

/// What the integers are stored plus.
constexpr int kZero = 128;

}  // namespace

float quantize_kv_vector(DType stored, std::span<const float> vector, std::byte* numbers) {
  QUERN_CHECK(is_scaled(stored), "{}", dtype_name(stored));
  float largest = 0.0f;
  bool finite = true;
  for (const float x : vector) {
    largest = std::max(largest, std::fabs(x));
    finite = finite && std::fabs(x) < kInfiniteKvMagnitude;
  }
  if (!finite || largest < kSmallestKvMagnitude) {
    std::fill_n(numbers, vector.size(), std::byte(stored == DType::uint8 ? kZero : 0));
    return finite ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  }
  const float inverse = kv_limit(stored) / largest;
  for (std::size_t i = 0; i < vector.size(); ++i) {
    const float x = vector[i] * inverse;
    numbers[i] = stored == DType::uint8
                     ? static_cast<std::byte>(static_cast<int>(std::nearbyint(x)) + kZero)
                     : static_cast<std::byte>(float8_e4m3_bits(x));
  }
  return largest / kv_limit(stored);
}

void dequantize_kv_vector(DType stored, const std::byte* numbers, float scale,
                          std::span<float> out) {
  QUERN_CHECK(is_scaled(stored), "{}", dtype_name(stored));
  if (stored == DType::uint8) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<float>(std::to_integer<int>(numbers[i]) - kZero) * scale;
    }
    return;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = kFloat8E4M3[std::to_integer<std::uint8_t>(numbers[i])] * scale;
  }
}

}  // namespace quern
