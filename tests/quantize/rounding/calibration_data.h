#pragma once

#include <algorithm>
#include <cstddef>
#include <random>
#include <span>
#include <vector>

namespace quern::testing {

inline std::vector<float> random_floats(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  std::ranges::generate(values, [&] { return normal(engine); });
  return values;
}

/// Inputs that depend on each other, some of them much larger than others.
inline std::vector<float> related_inputs(std::size_t rows, std::size_t inputs) {
  std::vector<float> values = random_floats(rows * inputs, 1);
  for (std::size_t row = 0; row < rows; ++row) {
    float* x = values.data() + row * inputs;
    for (std::size_t i = 1; i < inputs; ++i) x[i] += 0.7f * x[i - 1];
    for (std::size_t i = 0; i < inputs; i += 7) x[i] *= 4.0f;
  }
  return values;
}

/// Inputs that differ from these by what they tell in part, and by noise.
inline std::vector<float> drifted(std::span<const float> rows, std::size_t inputs) {
  std::vector<float> result = random_floats(rows.size(), 2);
  for (std::size_t at = 0; at < rows.size(); ++at) {
    const std::size_t other = at / inputs * inputs + (at + 5) % inputs;
    result[at] = rows[at] + 0.05f * result[at] + 0.1f * rows[other];
  }
  return result;
}

/// Σ over rows of leftᵀ · right, [inputs, inputs].
inline std::vector<double> products_of(std::span<const float> left, std::span<const float> right,
                                       std::size_t inputs) {
  std::vector<double> sums(inputs * inputs);
  for (std::size_t first = 0; first < left.size(); first += inputs) {
    for (std::size_t i = 0; i < inputs; ++i) {
      for (std::size_t j = 0; j < inputs; ++j) {
        sums[i * inputs + j] += double{left[first + i]} * double{right[first + j]};
      }
    }
  }
  return sums;
}

inline std::vector<double> squares_of(std::span<const float> rows, std::size_t inputs) {
  return products_of(rows, rows, inputs);
}

/// [rows, inputs] times [inputs, inputs].
inline std::vector<double> product(std::span<const float> left, std::span<const double> right,
                                   std::size_t inputs) {
  std::vector<double> result(left.size());
  for (std::size_t at = 0; at < left.size(); ++at) {
    for (std::size_t j = 0; j < inputs; ++j) {
      result[at / inputs * inputs + j] += double{left[at]} * right[at % inputs * inputs + j];
    }
  }
  return result;
}

}  // namespace quern::testing
