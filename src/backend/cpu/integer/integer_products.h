#pragma once

// IntegerDot of integer_kernels.h for one instruction set. The including file defines QUERN_TARGET,
// the function attribute that enables the instructions, and in its unnamed namespace (so that no
// instantiation is shared) a struct Simd: Ints, eight sums of int32, Floats, eight floats, and
// Block, 32 integers; load_inputs(const int8_t*) and load<T>(const uint8_t*), which load a block of
// inputs and of a weight's values, uint4 with the even inputs first; dot(sums, values, inputs),
// which adds the products, four to a sum, without overflow; zero, to_floats, multiply, broadcast,
// widen(Half); fma(a, b, c) for a·b + c; sum(Ints) as int64 and sum(Floats); kMaxRows, the rows
// whose sums for four columns fit into registers.

#include <algorithm>
#include <cstdint>

#include "backend/cpu/gemm/quantized_products.h"
#include "backend/cpu/integer/rounded_input.h"
#include "weights/weight.h"

namespace quern::cpu {

/// kRows dot products with one column, a weight's row, which is read from its first value to its
/// last.
template <int kRows>
struct IntegerColumn {
  const Weight& weight;
  QuantizedRow column;
  const std::int8_t* inputs[kRows];
  const float* scales[kRows];  ///< of the inputs
  const double* group_sums[kRows];
  float* out[kRows];

  IntegerColumn(const RoundedInput& a, const Weight& b, std::int64_t first, const Tensor& result,
                std::int64_t r, std::int64_t c)
      : weight(b), column(b, first + c) {
    for (int i = 0; i < kRows; ++i) {
      const std::int64_t row = r + i;
      inputs[i] = a.integers + row * a.in_features;
      scales[i] = a.scales + row * a.num_scales();
      group_sums[i] = a.group_sums + row * a.num_groups;
      out[i] = result.row<float>(row) + c;
    }
  }
  std::int64_t group_size() const {
    return weight.format.group_size == 0 ? weight.in_features : weight.format.group_size;
  }
  template <typename T>
  int zero_point(std::int64_t group) const {
    return column.zero_point(T::kStored, group);
  }
};

/// A scale for each row of inputs.
template <typename Simd, int kRows, typename T>
QUERN_TARGET void integer_column_by_row(const IntegerColumn<kRows>& block) {
  const std::int64_t depth = block.weight.in_features;
  const DType scale_dtype = *block.weight.format.scale_dtype;
  float results[kRows] = {};
  for (std::int64_t begin = 0, group = 0; begin < depth; begin += block.group_size(), ++group) {
    const std::int64_t end = std::min(begin + block.group_size(), depth);
    typename Simd::Ints sums[kRows];
    for (auto& sum : sums) sum = Simd::zero_ints();
    for (std::int64_t k = begin; k < end; k += kIntegerBlock) {
      const auto right = Simd::template load<T>(block.column.values + k / T::kPerByte);
      for (int i = 0; i < kRows; ++i) {
        sums[i] = Simd::dot(sums[i], right, Simd::load_inputs(block.inputs[i] + k));
      }
    }
    const float scale = row_scale<Simd>(block.column, scale_dtype, group);
    for (int i = 0; i < kRows; ++i) {
      const std::int64_t zeros = static_cast<std::int64_t>(block.group_sums[i][group]) *
                                 block.template zero_point<T>(group);
      const auto sum = static_cast<float>(Simd::sum(sums[i]) - zeros);
      results[i] = Simd::fma(sum, block.scales[i][0] * scale, results[i]);
    }
  }
  for (int i = 0; i < kRows; ++i) *block.out[i] = results[i];
}

/// A scale for each block of inputs: zero points are subtracted from a group's sum in float32.
/// Block number n is added to sum number n % kDotSums.
template <typename Simd, int kRows, typename T>
QUERN_TARGET void integer_column_by_block(const IntegerColumn<kRows>& block) {
  const std::int64_t depth = block.weight.in_features;
  const DType scale_dtype = *block.weight.format.scale_dtype;
  typename Simd::Floats sums[kRows][kDotSums];
  float corrections[kRows] = {};
  for (auto& row : sums) {
    for (auto& sum : row) sum = Simd::zero_floats();
  }
  for (std::int64_t begin = 0, group = 0; begin < depth; begin += block.group_size(), ++group) {
    const std::int64_t end = std::min(begin + block.group_size(), depth);
    const float column_scale = row_scale<Simd>(block.column, scale_dtype, group);
    const auto column_scales = Simd::broadcast(column_scale);
    for (std::int64_t k = begin; k < end; k += kDotSums * kIntegerBlock) {
      for (int which = 0; which < kDotSums; ++which) {
        const std::int64_t at = k + which * kIntegerBlock;
        if (at >= end) break;
        const std::int64_t index = at / kIntegerBlock;
        const auto right = Simd::template load<T>(block.column.values + at / T::kPerByte);
        for (int i = 0; i < kRows; ++i) {
          const float scale = block.scales[i][index];
          const auto left = Simd::load_inputs(block.inputs[i] + at);
          const auto products = Simd::to_floats(Simd::dot(Simd::zero_ints(), right, left));
          sums[i][which] = Simd::fma(
              products, Simd::multiply(Simd::broadcast(scale), column_scales), sums[i][which]);
        }
      }
    }
    const float zero = column_scale * static_cast<float>(-block.template zero_point<T>(group));
    for (int i = 0; i < kRows; ++i) {
      corrections[i] =
          Simd::fma(zero, static_cast<float>(block.group_sums[i][group]), corrections[i]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    float sum = corrections[i];
    for (const auto& lanes : sums[i]) sum += Simd::sum(lanes);
    *block.out[i] = sum;
  }
}

template <typename Simd, int kRows, typename T>
QUERN_TARGET void integer_rows(const RoundedInput& a, const Weight& weight, std::int64_t first,
                               const Tensor& out, std::int64_t r) {
  for (std::int64_t c = 0; c < out.cols; ++c) {
    const IntegerColumn<kRows> column(a, weight, first, out, r, c);
    if (a.scale_per_block) {
      integer_column_by_block<Simd, kRows, T>(column);
    } else {
      integer_column_by_row<Simd, kRows, T>(column);
    }
  }
}

template <typename Simd, typename T>
QUERN_TARGET void integer_dot_of(const RoundedInput& a, const Weight& weight, std::int64_t first,
                                 const Tensor& out) {
  std::int64_t r = 0;
  for (; r + Simd::kMaxRows <= a.rows; r += Simd::kMaxRows) {
    integer_rows<Simd, Simd::kMaxRows, T>(a, weight, first, out, r);
  }
  for (; r < a.rows; ++r) integer_rows<Simd, 1, T>(a, weight, first, out, r);
}

template <typename Simd>
QUERN_TARGET void integer_dot_with(const RoundedInput& a, const Weight& weight, std::int64_t first,
                                   const Tensor& out) {
  if (weight.format.stored == DType::uint4) {
    integer_dot_of<Simd, UInt4>(a, weight, first, out);
  } else {
    integer_dot_of<Simd, UInt8>(a, weight, first, out);
  }
}

}  // namespace quern::cpu
