#include "backend/cpu/ops/norm.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/half.h"

namespace quern::cpu {
namespace {

/// Σ term(values[i]) with several accumulators, which is faster and more accurate than with one.
template <typename Term>
float sum_of(std::span<const float> values, const Term& term) {
  constexpr std::size_t kLanes = 16;
  float lanes[kLanes] = {};
  const std::size_t whole = values.size() / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) lanes[j] += term(values[i + j]);
  }
  for (std::size_t i = whole; i < values.size(); ++i) lanes[i - whole] += term(values[i]);
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  }
  return lanes[0];
}

}  // namespace

void rms_norm(std::span<float> values, const float* gain, float epsilon) {
  const auto count = static_cast<float>(values.size());
  const float mean_square = sum_of(values, [](float x) { return x * x; }) / count;
  const float scale = 1.0f / std::sqrt(mean_square + epsilon);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = values[i] * scale * gain[i];
}

void layer_norm(std::span<float> values, const float* gain, const float* bias, float epsilon) {
  const auto count = static_cast<float>(values.size());
  const float mean = sum_of(values, [](float x) { return x; }) / count;
  for (float& x : values) x -= mean;
  const float variance = sum_of(values, [](float x) { return x * x; }) / count;
  const float scale = 1.0f / std::sqrt(variance + epsilon);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = values[i] * scale * gain[i];
  if (bias == nullptr) return;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += bias[i];
}

void round_floats(DType dtype, std::span<float> values) {
  if (dtype == DType::float32) return;
  std::array<std::byte, 512> stored;
  for (std::size_t begin = 0; begin < values.size(); begin += stored.size() / 2) {
    const auto part = values.subspan(begin, std::min(stored.size() / 2, values.size() - begin));
    store_floats(dtype, part, stored.data());
    load_floats(dtype, stored.data(), part);
  }
}

}  // namespace quern::cpu
