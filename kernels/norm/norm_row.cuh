#pragma once

#include <cstdint>

#include "kernels/common/load.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/norm/norm.h"

namespace quern::kernels {

/// What a row is normed by: (x - mean) · scale.
struct NormStatistics {
  float mean = 0.0f;
  float scale = 0.0f;
};

/// One token row of residual (+ delta), spread over the block's threads in groups of kWidth
/// elements. Each thread keeps its first kHeld groups and their gains in registers; the rest of
/// longer rows is read again.
template <typename T, int kWidth, int kHeld>
class NormRow {
 public:
  /// Reads the gains. They are weights, so earlier kernels may still run (PDL).
  __device__ explicit NormRow(const NormInput& input) : input_(input) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (first(i) < input_.in_features) factors_[i] = load_factors(first(i));
    }
  }

  /// Loads a row.
  __device__ void load(std::int64_t token_row) {
    const std::int64_t begin = token_row * input_.in_features;
    residual_ = input_.residual + begin;
    delta_ = input_.delta == nullptr ? nullptr : static_cast<const T*>(input_.delta) + begin;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (first(i) < input_.in_features) values_[i] = load_sum(first(i));
    }
  }

  /// Stores the row itself, [in_features].
  __device__ void store(float* out) const {
    for_each([&](int first, const Elements<kWidth>& values, const auto&) {
      store_elements<kWidth>(out + first, values);
    });
  }

  /// Stores the row's norm, [in_features], rounded to T; `out` may be shared memory, and a barrier
  /// must follow before others read it.
  __device__ void store_norm(T* out) const {
    for_each_normed(statistics(), [&](int first, const Elements<kWidth>& normed) {
      store_elements<kWidth>(out + first, normed);
    });
  }

  /// The row's statistics, the same in all threads of the block. Two-pass variance: a sum of
  /// squares would lose all but the outliers.
  __device__ NormStatistics statistics() const {
    const auto divisor = static_cast<float>(input_.in_features);
    float mean = 0.0f;
    if (input_.kind == NormKind::layer) {
      mean = sum_of([](float x) { return x; }) / divisor;
    }
    const float mean_square = sum_of([=](float x) { return (x - mean) * (x - mean); }) / divisor;
    return {mean, 1.0f / sqrtf(mean_square + input_.epsilon)};
  }

  /// body(first element, their norms in float32) for each group of this thread.
  template <typename Body>
  __device__ void for_each_normed(const NormStatistics& statistics, const Body& body) const {
    for_each([&](int first, const Elements<kWidth>& values, const auto& factors_of) {
      const Factors factors = factors_of();
      Elements<kWidth> normed;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        normed.at[i] = (values.at[i] - statistics.mean) * statistics.scale * factors.gain.at[i] +
                       factors.bias.at[i];
      }
      body(first, normed);
    });
  }

 private:
  struct Factors {
    Elements<kWidth> gain;
    Elements<kWidth> bias;
  };

  __device__ static int first(int i) {
    return kWidth * static_cast<int>(threadIdx.x + i * blockDim.x);
  }

  __device__ Factors load_factors(int first) const {
    Factors factors{load_elements<kWidth>(input_.gain + first), {}};
    if (input_.bias != nullptr) factors.bias = load_elements<kWidth>(input_.bias + first);
    return factors;
  }

  __device__ Elements<kWidth> load_sum(int first) const {
    Elements<kWidth> sum = load_elements<kWidth>(residual_ + first);
    if (delta_ == nullptr) return sum;
    const Elements<kWidth> added = load_elements<kWidth>(delta_ + first);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum.at[i] += added.at[i];
    return sum;
  }

  /// body(first element, values, how to get their factors) for each group of this thread.
  template <typename Body>
  __device__ void for_each(const Body& body) const {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (first(i) < input_.in_features) {
        body(first(i), values_[i], [&] { return factors_[i]; });
      }
    }
#pragma unroll 1
    for (int i = kHeld; first(i) < input_.in_features; ++i) {
      body(first(i), load_sum(first(i)), [&] { return load_factors(first(i)); });
    }
  }

  /// Σ term(x) over the row, the same in all threads of the block.
  template <typename Term>
  __device__ float sum_of(const Term& term) const {
    float sum = 0.0f;
    for_each([&](int, const Elements<kWidth>& values, const auto&) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) sum += term(values.at[i]);
    });
    return block_sum(sum);
  }

  const NormInput& input_;
  const float* residual_ = nullptr;
  const T* delta_ = nullptr;
  Elements<kWidth> values_[kHeld];
  Factors factors_[kHeld];
};

}  // namespace quern::kernels
