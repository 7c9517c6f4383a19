#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/common/load.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/norm.h"

namespace quern::kernels {

/// Calls body(first element) for each group of kWidth elements of a row that this thread of the
/// block works on.
template <int kWidth, typename Body>
__device__ inline void for_elements(int count, const Body& body) {
  for (int i = kWidth * static_cast<int>(threadIdx.x); i < count;
       i += kWidth * static_cast<int>(blockDim.x)) {
    body(i);
  }
}

/// kWidth (1 or 4) consecutive elements.
template <int kWidth>
struct Elements {
  float at[kWidth];
};

template <int kWidth, typename T>
__device__ inline Elements<kWidth> load_elements(const T* source) {
  if constexpr (kWidth == 4) {
    const float4 four = load_4(source);
    return {{four.x, four.y, four.z, four.w}};
  } else {
    static_assert(kWidth == 1);
    return {{to_float(*source)}};
  }
}

template <int kWidth, typename T>
__device__ inline void store_elements(T* destination, const Elements<kWidth>& values) {
  if constexpr (kWidth == 4) {
    store_4(destination, {values.at[0], values.at[1], values.at[2], values.at[3]});
  } else {
    *destination = from_float<T>(values.at[0]);
  }
}

/// One row of residual (+ delta).
template <typename T, int kWidth>
struct ResidualRow {
  const float* residual;
  const T* delta;  ///< or null

  __device__ ResidualRow(const NormInput& input, std::int64_t row)
      : residual(input.residual + row * input.in_features),
        delta(input.delta == nullptr
                  ? nullptr
                  : static_cast<const T*>(input.delta) + row * input.in_features) {}

  __device__ Elements<kWidth> load(int first) const {
    Elements<kWidth> sum = load_elements<kWidth>(residual + first);
    if (delta == nullptr) return sum;
    const Elements<kWidth> added = load_elements<kWidth>(delta + first);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum.at[i] += added.at[i];
    return sum;
  }
};

/// Σ term(x) over a row, the same in all threads of the block.
template <typename T, int kWidth, typename Term>
__device__ inline float sum_over(const ResidualRow<T, kWidth>& row, int count, const Term& term) {
  float sum = 0.0f;
  for_elements<kWidth>(count, [&](int first) {
    const Elements<kWidth> values = row.load(first);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum += term(values.at[i]);
  });
  return block_sum(sum);
}

/// out [in_features] = the norm of one token row, rounded to T, by the block; `out` may be shared
/// memory, and a barrier must follow before others read it. Arrays are read kWidth elements at a
/// time. The sums go over the row again rather than over squares of sums: outliers would swallow
/// the rest.
template <typename T, int kWidth>
__device__ inline void norm_row(const NormInput& input, std::int64_t token_row, T* out) {
  const ResidualRow<T, kWidth> row(input, token_row);
  const int count = input.in_features;
  const auto divisor = static_cast<float>(count);
  float mean = 0.0f;
  if (input.kind == NormKind::layer) {
    mean = sum_over(row, count, [](float x) { return x; }) / divisor;
  }
  const float mean_square =
      sum_over(row, count, [=](float x) { return (x - mean) * (x - mean); }) / divisor;
  const float scale = 1.0f / sqrtf(mean_square + input.epsilon);
  for_elements<kWidth>(count, [&](int first) {
    Elements<kWidth> values = row.load(first);
    const Elements<kWidth> gain = load_elements<kWidth>(input.gain + first);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) values.at[i] = (values.at[i] - mean) * scale * gain.at[i];
    if (input.bias != nullptr) {
      const Elements<kWidth> bias = load_elements<kWidth>(input.bias + first);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values.at[i] += bias.at[i];
    }
    store_elements<kWidth>(out + first, values);
  });
}

/// residual_out's row = residual (+ delta), by the block.
template <typename T, int kWidth>
__device__ inline void add_delta_row(const NormInput& input, std::int64_t token_row,
                                     float* residual_out) {
  const ResidualRow<T, kWidth> row(input, token_row);
  float* out = residual_out + token_row * input.in_features;
  for_elements<kWidth>(input.in_features,
                       [&](int first) { store_elements<kWidth>(out + first, row.load(first)); });
}

}  // namespace quern::kernels
