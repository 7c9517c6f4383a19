#include "compare/rounded_inputs.h"

#include <algorithm>
#include <cmath>

#include "base/float8.h"
#include "compare/rounding.h"

namespace quern {
namespace {

constexpr double kMaxInt8 = 127.0;

double rounded_value(double quotient, ActivationRounding rounding) {
  if (rounding == ActivationRounding::float8_e4m3) {
    return round_to_float8_e4m3(static_cast<float>(quotient));
  }
  return std::clamp(std::nearbyint(quotient), -kMaxInt8, kMaxInt8);
}

}  // namespace

RoundedInputs round_inputs(std::span<const double> row, std::span<const double> moves,
                           const ActivationFormat& format) {
  RoundedInputs result{{row.begin(), row.end()}, {moves.begin(), moves.end()}};
  if (format.rounding == ActivationRounding::none) return result;
  const auto group =
      format.group_size == 0 ? row.size() : static_cast<std::size_t>(format.group_size);
  const double max_value =
      format.rounding == ActivationRounding::int8 ? kMaxInt8 : double{kFloat8E4M3Max};
  for (std::size_t begin = 0; begin < row.size(); begin += group) {
    const std::size_t end = std::min(begin + group, row.size());
    double largest = 0.0;
    double most = 0.0;   // what the largest number may be
    double least = 0.0;  // and must be
    for (std::size_t i = begin; i < end; ++i) {
      const double size = std::abs(row[i]);
      largest = std::max(largest, size);
      most = std::max(most, size + moves[i]);
      least = std::max(least, size - moves[i]);
    }
    if (largest == 0.0) continue;
    const double scale = largest / max_value;
    // Scales of the same numbers are the same.
    const double off = std::max(most - largest, largest - least);
    const double relative = off == 0.0 ? 0.0 : off / largest + kEpsilon;
    for (std::size_t i = begin; i < end; ++i) {
      const double value = scale * rounded_value(row[i] / scale, format.rounding);
      const double near = moves[i] + relative * std::abs(row[i]);
      result.values[i] = value;
      result.moves[i] = 0.0;
      if (near == 0.0) continue;
      const double steps = rounded_value((row[i] + near) / scale, format.rounding) -
                           rounded_value((row[i] - near) / scale, format.rounding);
      result.moves[i] = scale * steps + relative * std::abs(value);
    }
  }
  return result;
}

}  // namespace quern
