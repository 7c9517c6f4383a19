#pragma once

// dot_quantized of vector_kernels.h for one instruction set; see block_products.h for QUERN_TARGET
// and Simd. This file uses more of Simd: Scaled<T>, which widens kLanes stored numbers of one group
// to scale · (value - zero point), each a product rounded to float32 once, as dequantize_row()
// does.

#include <algorithm>
#include <cstdint>

#include "backend/cpu/gemm/block_products.h"
#include "base/half.h"
#include "weights/weight.h"

namespace quern::cpu {

/// Element types of quantized weights, as types.
struct UInt4 {
  static constexpr DType kStored = DType::uint4;
  static constexpr std::int64_t kPerByte = 2;
};
struct UInt8 {
  static constexpr DType kStored = DType::uint8;
  static constexpr std::int64_t kPerByte = 1;
};
struct Float8E4M3 {
  static constexpr DType kStored = DType::float8_e4m3;
  static constexpr std::int64_t kPerByte = 1;
};

/// A row of a quantized weight, as stored.
struct QuantizedRow {
  const std::uint8_t* values = nullptr;
  const std::byte* scales = nullptr;
  const std::uint8_t* zero_points = nullptr;  ///< null: symmetric

  QuantizedRow() = default;
  QuantizedRow(const Weight& weight, std::int64_t row) {
    const WeightFormat& format = weight.format;
    const std::int64_t block = format.group_rows == 0 ? 0 : row / format.group_rows;
    values =
        reinterpret_cast<const std::uint8_t*>(weight.values.data) + row * weight.values.row_stride;
    scales = weight.scales.data + block * weight.scales.row_stride *
                                      static_cast<std::int64_t>(dtype_bytes(*format.scale_dtype));
    if (format.has_zero_points) zero_points = weight.zero_points.row<std::uint8_t>(block);
  }

  float scale(DType dtype, std::int64_t group) const {
    switch (dtype) {
      case DType::float16:
        return to_float(reinterpret_cast<const Half*>(scales)[group]);
      case DType::bfloat16:
        return to_float(reinterpret_cast<const BFloat16*>(scales)[group]);
      default:
        return reinterpret_cast<const float*>(scales)[group];
    }
  }
  int zero_point(DType stored, std::int64_t group) const {
    return zero_points != nullptr ? zero_points[group] : symmetric_zero_point(stored);
  }
};

/// Asks for memory that the next block of columns reads. Rows are short, several are read side by
/// side, and the processor's own prefetcher has not found one before it ends; in dot_block(), whose
/// rows are two and four times as long, this costs more than it gains.
inline void prefetch(const std::uint8_t* first, std::int64_t size_bytes) {
  constexpr std::int64_t kLineBytes = 64;
  for (std::int64_t i = 0; i < size_bytes; i += kLineBytes) __builtin_prefetch(first + i);
}

/// As dot_block(), in the same order of sums: the bits are those of a product with dequantized
/// rows.
template <typename Simd, int kRows, int kColumns, typename T>
QUERN_TARGET void quantized_dot_block(const Tensor& a, const Weight& weight, std::int64_t first,
                                      const Tensor& out, std::int64_t r, std::int64_t c) {
  const std::int64_t depth = weight.in_features;
  const std::int64_t group_size = weight.format.group_size == 0 ? depth : weight.format.group_size;
  const DType scale_dtype = *weight.format.scale_dtype;
  const float* a_row[kRows];
  QuantizedRow b_row[kColumns];
  typename Simd::Vector sums[kRows][kColumns];
  for (int i = 0; i < kRows; ++i) a_row[i] = a.row<float>(r + i);
  for (int j = 0; j < kColumns; ++j) b_row[j] = QuantizedRow(weight, first + c + j);
  for (auto& row : sums) {
    for (auto& sum : row) sum = Simd::zero();
  }
  for (std::int64_t begin = 0, group = 0; begin < depth; begin += group_size, ++group) {
    typename Simd::template Scaled<T> scaled[kColumns];
    for (int j = 0; j < kColumns; ++j) {
      scaled[j].set(b_row[j].scale(scale_dtype, group), b_row[j].zero_point(T::kStored, group));
    }
    const std::int64_t end = std::min(begin + group_size, depth);
    if constexpr (kColumns > 1) {
      const std::int64_t ahead = kColumns * weight.values.row_stride;
      for (int j = 0; j < kColumns; ++j) {
        prefetch(b_row[j].values + ahead + begin / T::kPerByte, (end - begin) / T::kPerByte);
      }
    }
    for (std::int64_t k = begin; k < end; k += Simd::kLanes) {
      typename Simd::Vector left[kRows];
      for (int i = 0; i < kRows; ++i) left[i] = Simd::load(a_row[i] + k);
      for (int j = 0; j < kColumns; ++j) {
        const typename Simd::Vector right = scaled[j].load(b_row[j].values + k / T::kPerByte);
        for (int i = 0; i < kRows; ++i) sums[i][j] = Simd::fma(left[i], right, sums[i][j]);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) {
      out.row<float>(r + i)[c + j] = Simd::horizontal_sum(sums[i][j]);
    }
  }
}

template <typename Simd, int kRows, typename T>
QUERN_TARGET void quantized_dot_rows(const Tensor& a, const Weight& weight, std::int64_t first,
                                     const Tensor& out, std::int64_t r) {
  constexpr int kColumns = 4;
  std::int64_t c = 0;
  for (; c + kColumns <= out.cols; c += kColumns) {
    quantized_dot_block<Simd, kRows, kColumns, T>(a, weight, first, out, r, c);
  }
  for (; c < out.cols; ++c) quantized_dot_block<Simd, kRows, 1, T>(a, weight, first, out, r, c);
}

template <typename Simd, typename T>
QUERN_TARGET void dot_quantized_of(const Tensor& a, const Weight& weight, std::int64_t first,
                                   const Tensor& out) {
  std::int64_t r = 0;
  for (; r + 4 <= a.rows; r += 4) quantized_dot_rows<Simd, 4, T>(a, weight, first, out, r);
  for (; r + 2 <= a.rows; r += 2) quantized_dot_rows<Simd, 2, T>(a, weight, first, out, r);
  for (; r < a.rows; ++r) quantized_dot_rows<Simd, 1, T>(a, weight, first, out, r);
}

/// Whole vectors of one group; inputs in the order of the op's.
template <typename Simd>
bool reads_format(const WeightFormat& format, std::int64_t in_features) {
  return !format.permuted_inputs && in_features % Simd::kLanes == 0 &&
         format.group_size % Simd::kLanes == 0;
}

template <typename Simd>
bool dot_quantized(const Tensor& a, const Weight& weight, std::int64_t first, const Tensor& out) {
  if (!reads_format<Simd>(weight.format, weight.in_features)) return false;
  switch (weight.format.stored) {
    case DType::uint4:
      dot_quantized_of<Simd, UInt4>(a, weight, first, out);
      return true;
    case DType::uint8:
      dot_quantized_of<Simd, UInt8>(a, weight, first, out);
      return true;
    case DType::float8_e4m3:
      dot_quantized_of<Simd, Float8E4M3>(a, weight, first, out);
      return true;
    default:
      return false;
  }
}

}  // namespace quern::cpu
