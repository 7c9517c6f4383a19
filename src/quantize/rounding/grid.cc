#include "quantize/rounding/grid.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/float8.h"
#include "base/half.h"

namespace quern {
namespace {

/// `number` rounded to an integer in [-half, half), to even on a tie: by the rounding of a sum,
/// which is vectorised, unlike nearbyint().
inline float nearest_integer(float number, float half) {
  constexpr float kUnitSpacing = 0x1.8p23f;
  return std::clamp(number, -half, half - 1.0f) + kUnitSpacing - kUnitSpacing;
}

/// Σ importance · (w - scale · nearest(w / scale))².
template <typename Nearest>
double rounding_error(std::span<const float> group, std::span<const float> importance, float scale,
                      const Nearest& nearest) {
  double sum = 0.0;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const float error = group[i] - scale * nearest(group[i] / scale);
    sum += static_cast<double>(importance[i]) * static_cast<double>(error * error);
  }
  return sum;
}

}  // namespace

float Grid::divisor() const {
  return is_float ? kFloat8E4M3Max : std::ldexp(1.0f, bits - 1) - 0.5f;
}

float Grid::nearest(float number) const {
  if (is_float) return round_to_float8_e4m3(number);
  return nearest_integer(number, std::ldexp(1.0f, bits - 1));
}

std::uint8_t Grid::byte_of(float stored) const {
  if (is_float) return float8_e4m3_bits(stored);
  return static_cast<std::uint8_t>(static_cast<std::int8_t>(stored));
}

float Grid::number_of(std::uint8_t byte) const {
  return is_float ? kFloat8E4M3[byte] : static_cast<float>(static_cast<std::int8_t>(byte));
}

Grid grid_of(QuantizeFormat format) {
  return {.bits = format == QuantizeFormat::int4 ? 4 : 8,
          .is_float = format == QuantizeFormat::fp8};
}

float scale_of(const Grid& grid, DType dtype, std::span<const float> group, float shrink) {
  float largest = 0.0f;
  for (const float number : group) largest = std::max(largest, std::fabs(number));
  const float scale = round_to(dtype, shrink * (largest / grid.divisor()));
  return scale == 0.0f ? 1.0f : scale;
}

float best_scale(const Grid& grid, DType dtype, std::span<const float> group,
                 std::span<const float> importance) {
  constexpr int kSteps = 40;
  constexpr int kLast = 20;  // half of the range
  float best = scale_of(grid, dtype, group);
  double best_error = std::numeric_limits<double>::infinity();
  const float half = std::ldexp(1.0f, grid.bits - 1);
  for (int step = kSteps; step >= kLast; --step) {
    const float shrink = static_cast<float>(step) / static_cast<float>(kSteps);
    const float scale = scale_of(grid, dtype, group, shrink);
    const double error = grid.is_float
                             ? rounding_error(group, importance, scale, round_to_float8_e4m3)
                             : rounding_error(group, importance, scale, [half](float number) {
                                 return nearest_integer(number, half);
                               });
    if (error < best_error) {
      best_error = error;
      best = scale;
    }
  }
  return best;
}

}  // namespace quern
