#pragma once

// dot_quantized of vector_kernels.h for one instruction set; see block_products.h for QUERN_TARGET
// and Simd. This file uses more of Simd: widen(Half); Scaled<T>, which widens kLanes stored numbers
// of one group to scale · (value - zero point), each a product rounded to float32 once, as
// dequantize_row() does.

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

/// The group of each input, for a loop over ascending inputs: without divisions, which would take
/// as long as the products of a block.
class InputGroups {
 public:
  explicit InputGroups(const Weight& weight)
      : size_(weight.format.group_size == 0 ? weight.in_features : weight.format.group_size),
        end_(size_) {}

  /// The group of input k, which is not before the last one asked for.
  std::int64_t at(std::int64_t k) {
    for (; k >= end_; end_ += size_) ++group_;
    return group_;
  }
  /// The first input behind that group.
  std::int64_t end() const { return end_; }
  std::int64_t size() const { return size_; }

 private:
  std::int64_t size_;
  std::int64_t group_ = 0;
  std::int64_t end_;
};

/// The scale of a row's group; of float16 by an instruction.
template <typename Simd>
QUERN_TARGET float row_scale(const QuantizedRow& row, DType dtype, std::int64_t group) {
  if (dtype != DType::float16) return row.scale(dtype, group);
  return Simd::widen(reinterpret_cast<const Half*>(row.scales)[group]);
}

/// As dot_column(), in the same order of sums: the bits are those of a product with a dequantized
/// row.
template <typename Simd, int kRows, typename T>
QUERN_TARGET void quantized_dot_column(const Tensor& a, const Weight& weight, std::int64_t first,
                                       const Tensor& out, std::int64_t r, std::int64_t c) {
  const std::int64_t depth = weight.in_features;
  const DType scale_dtype = *weight.format.scale_dtype;
  const float* a_row[kRows];
  typename Simd::Vector sums[kRows][kDotSums];
  for (int i = 0; i < kRows; ++i) a_row[i] = a.row<float>(r + i);
  for (auto& row : sums) {
    for (auto& sum : row) sum = Simd::zero();
  }
  const QuantizedRow b_row(weight, first + c);
  InputGroups groups(weight);
  using Scaled = typename Simd::template Scaled<T>;
  const auto set = [&](Scaled& scaled, std::int64_t group) QUERN_TARGET {
    scaled.set(row_scale<Simd>(b_row, scale_dtype, group), b_row.zero_point(T::kStored, group));
  };
  const auto add = [&](const Scaled& scaled, std::int64_t k, int which) QUERN_TARGET {
    const typename Simd::Vector right = scaled.load(b_row.values + k / T::kPerByte);
    for (int i = 0; i < kRows; ++i) {
      sums[i][which] = Simd::fma(Simd::load(a_row[i] + k), right, sums[i][which]);
    }
  };
  std::int64_t begin = 0;
  if (groups.size() % kDotBlock == 0) {
    for (; begin + kDotSums * kDotBlock <= depth; begin += kDotSums * kDotBlock) {
      // Vectors go straight into registers: copied in memory they would wait for their halves.
      float scales[kDotSums];
      int zero_points[kDotSums];
      for (int which = 0; which < kDotSums; ++which) {
        const std::int64_t block = begin + which * kDotBlock;
        if (which > 0 && block < groups.end()) {
          scales[which] = scales[which - 1];
          zero_points[which] = zero_points[which - 1];
        } else {
          const std::int64_t group = groups.at(block);
          scales[which] = row_scale<Simd>(b_row, scale_dtype, group);
          zero_points[which] = b_row.zero_point(T::kStored, group);
        }
      }
      Scaled scaled[kDotSums]{};
      for (int which = 0; which < kDotSums; ++which) {
        scaled[which].set(scales[which], zero_points[which]);
      }
      for (std::int64_t k = begin; k < begin + kDotBlock; k += Simd::kLanes) {
        for (int which = 0; which < kDotSums; ++which) {
          add(scaled[which], k + which * kDotBlock, which);
        }
      }
    }
  }
  for (; begin < depth; begin += kDotSums * kDotBlock) {
    for (int which = 0; which < kDotSums; ++which) {
      std::int64_t k = begin + which * kDotBlock;
      const std::int64_t block_end = std::min(k + kDotBlock, depth);
      while (k < block_end) {
        Scaled scaled{};
        set(scaled, groups.at(k));
        const std::int64_t end = std::min(block_end, groups.end());
        for (; k < end; k += Simd::kLanes) add(scaled, k, which);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    finish_dot<Simd, float>(sums[i], nullptr, nullptr, depth, depth, out.row<float>(r + i) + c);
  }
}

/// As dot_block(), likewise.
template <typename Simd, int kRows, int kColumns, typename T>
QUERN_TARGET void quantized_dot_block(const Tensor& a, const Weight& weight, std::int64_t first,
                                      const Tensor& out, std::int64_t r, std::int64_t c) {
  const std::int64_t depth = weight.in_features;
  const DType scale_dtype = *weight.format.scale_dtype;
  const float* a_row[kRows];
  QuantizedRow b_row[kColumns];
  typename Simd::Vector all_sums[kRows][kColumns][kDotSums];
  for (int i = 0; i < kRows; ++i) a_row[i] = a.row<float>(r + i);
  for (int j = 0; j < kColumns; ++j) b_row[j] = QuantizedRow(weight, first + c + j);
  for (int which = 0; which < kDotSums; ++which) {
    typename Simd::Vector sums[kRows][kColumns];
    for (auto& row : sums) {
      for (auto& sum : row) sum = Simd::zero();
    }
    InputGroups groups(weight);
    for (std::int64_t block = which * kDotBlock; block < depth; block += kDotSums * kDotBlock) {
      const std::int64_t block_end = std::min(block + kDotBlock, depth);
      std::int64_t k = block;
      while (k < block_end) {
        const std::int64_t group = groups.at(k);
        typename Simd::template Scaled<T> scaled[kColumns]{};
        for (int j = 0; j < kColumns; ++j) {
          scaled[j].set(row_scale<Simd>(b_row[j], scale_dtype, group),
                        b_row[j].zero_point(T::kStored, group));
        }
        const std::int64_t end = std::min(block_end, groups.end());
        for (; k < end; k += Simd::kLanes) {
          typename Simd::Vector left[kRows];
          for (int i = 0; i < kRows; ++i) left[i] = Simd::load(a_row[i] + k);
          for (int j = 0; j < kColumns; ++j) {
            const typename Simd::Vector right = scaled[j].load(b_row[j].values + k / T::kPerByte);
            for (int i = 0; i < kRows; ++i) sums[i][j] = Simd::fma(left[i], right, sums[i][j]);
          }
        }
      }
    }
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kColumns; ++j) all_sums[i][j][which] = sums[i][j];
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) {
      finish_dot<Simd, float>(all_sums[i][j], nullptr, nullptr, depth, depth,
                              out.row<float>(r + i) + c + j);
    }
  }
}

template <typename Simd, int kRows, typename T>
QUERN_TARGET void quantized_dot_rows(const Tensor& a, const Weight& weight, std::int64_t first,
                                     const Tensor& out, std::int64_t r) {
  std::int64_t c = 0;
  if (r == 0) {  // brings the weight into the cache
    for (; c < out.cols; ++c) quantized_dot_column<Simd, kRows, T>(a, weight, first, out, r, c);
    return;
  }
  constexpr int kColumns = 2;
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
