#pragma once

// softmax_numerators, silu and gelu_tanh of vector_kernels.h for one instruction set; see
// block_products.h for QUERN_TARGET and Simd. This file uses more of Simd: add, subtract, multiply,
// divide; min and max, which return their second operand where there is a NaN; fnma(a, b, c) for
// c - a·b; round, to the nearest integer; scale(x, n) for x · 2^n, n an integer in [-152, 129].

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "backend/cpu/gemm/vector_kernels.h"

namespace quern::cpu {

/// e^x to within two units in the last place, subnormal results included. NaN stays NaN.
/// Source: Cephes expf (Moshier).
template <typename Simd>
QUERN_TARGET inline typename Simd::Vector exponential(typename Simd::Vector x) {
  x = Simd::min(Simd::broadcast(89.0f), Simd::max(Simd::broadcast(-105.0f), x));
  const auto power = Simd::round(Simd::multiply(x, Simd::broadcast(1.44269504088896341f)));
  auto r = Simd::fnma(power, Simd::broadcast(0.693359375f), x);
  r = Simd::fma(power, Simd::broadcast(2.12194440e-4f), r);
  auto sum = Simd::broadcast(1.9875691500e-4f);
  for (const float coefficient :
       {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) {
    sum = Simd::fma(sum, r, Simd::broadcast(coefficient));
  }
  sum = Simd::fma(sum, Simd::multiply(r, r), Simd::add(r, Simd::broadcast(1.0f)));
  return Simd::scale(sum, power);
}

/// x / (1 + e^-y).
template <typename Simd>
QUERN_TARGET inline typename Simd::Vector over_logistic(typename Simd::Vector x,
                                                        typename Simd::Vector y) {
  const auto power = exponential<Simd>(Simd::subtract(Simd::zero(), y));
  return Simd::divide(x, Simd::add(Simd::broadcast(1.0f), power));
}

template <typename Simd>
struct Silu {
  QUERN_TARGET static typename Simd::Vector of(typename Simd::Vector x) {
    return over_logistic<Simd>(x, x);
  }
};

template <typename Simd>
struct GeluTanh {
  QUERN_TARGET static typename Simd::Vector of(typename Simd::Vector x) {
    const auto square = Simd::multiply(x, x);
    const auto inner = Simd::fma(Simd::broadcast(0.044715f), square, Simd::broadcast(1.0f));
    const auto scaled = Simd::multiply(Simd::broadcast(2.0f * kGeluRoot), Simd::multiply(x, inner));
    return over_logistic<Simd>(x, scaled);
  }
};

/// The last, incomplete vector of an array, padded with `filler`.
template <typename Simd>
class Tail {
 public:
  QUERN_TARGET Tail(std::span<float> values, float filler)
      : values_(values.subspan(values.size() / Simd::kLanes * Simd::kLanes)) {
    padded_.fill(filler);
    std::copy(values_.begin(), values_.end(), padded_.begin());
  }
  bool empty() const { return values_.empty(); }
  float* data() { return padded_.data(); }
  void write_back() const { std::copy_n(padded_.begin(), values_.size(), values_.begin()); }

 private:
  std::span<float> values_;
  std::array<float, Simd::kLanes> padded_;
};

template <typename Simd, template <typename> typename Function>
QUERN_TARGET void apply(std::span<float> values) {
  float* data = values.data();
  for (std::size_t i = 0; i + Simd::kLanes <= values.size(); i += Simd::kLanes) {
    Simd::store(data + i, Function<Simd>::of(Simd::load(data + i)));
  }
  Tail<Simd> tail(values, 0.0f);
  if (tail.empty()) return;
  Simd::store(tail.data(), Function<Simd>::of(Simd::load(tail.data())));
  tail.write_back();
}

template <typename Simd>
QUERN_TARGET float softmax_numerators(std::span<float> scores) {
  float* data = scores.data();
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  Tail<Simd> tail(scores, kLowest);
  auto largest = Simd::max(Simd::load(tail.data()), Simd::broadcast(kLowest));
  for (std::size_t i = 0; i + Simd::kLanes <= scores.size(); i += Simd::kLanes) {
    largest = Simd::max(Simd::load(data + i), largest);
  }
  std::array<float, Simd::kLanes> lanes;
  Simd::store(lanes.data(), largest);
  const auto reference =
      Simd::broadcast(softmax_reference(*std::max_element(lanes.begin(), lanes.end())));

  auto sum = exponential<Simd>(Simd::subtract(Simd::load(tail.data()), reference));
  Simd::store(tail.data(), sum);
  tail.write_back();
  for (std::size_t i = 0; i + Simd::kLanes <= scores.size(); i += Simd::kLanes) {
    const auto numerators = exponential<Simd>(Simd::subtract(Simd::load(data + i), reference));
    Simd::store(data + i, numerators);
    sum = Simd::add(sum, numerators);
  }
  return Simd::horizontal_sum(sum);
}

}  // namespace quern::cpu
