#pragma once

// dot_rows and accumulate_rows of vector_kernels.h for one instruction set. The including file
// defines QUERN_TARGET, the function attribute that enables the instructions, and in its unnamed
// namespace (so that no instantiation is shared) a struct Simd:
// Vector, of kLanes floats; load(const T*), store, broadcast, zero; fma(a, b, c) for a·b + c of
// vectors and of floats, both rounded equally often; horizontal_sum; kColumnsOfFour, the columns
// whose sums for four rows fit into registers.

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "base/half.h"
#include "base/memory/tensor.h"

namespace quern::cpu {

// Independent accumulators that hide the latency of a multiply-add.
inline constexpr int kMinSums = 8;

/// A block of kRows by kColumns dot products, from row r of a and row c of b on. The rest of the
/// depth is summed by Simd::fma too: left to the compiler, contraction would differ between block
/// sizes and dtypes, and a row's sum would depend on them.
template <typename Simd, int kRows, int kColumns, typename T>
QUERN_TARGET void dot_block(const Tensor& a, const Tensor& b, const Tensor& out, std::int64_t r,
                            std::int64_t c) {
  const float* a_row[kRows];
  const T* b_row[kColumns];
  typename Simd::Vector sums[kRows][kColumns];
  for (int i = 0; i < kRows; ++i) a_row[i] = a.row<float>(r + i);
  for (int j = 0; j < kColumns; ++j) b_row[j] = b.row<T>(c + j);
  for (auto& row : sums) {
    for (auto& sum : row) sum = Simd::zero();
  }
  const std::int64_t whole = b.cols / Simd::kLanes * Simd::kLanes;
  for (std::int64_t k = 0; k < whole; k += Simd::kLanes) {
    typename Simd::Vector left[kRows];
    for (int i = 0; i < kRows; ++i) left[i] = Simd::load(a_row[i] + k);
    for (int j = 0; j < kColumns; ++j) {
      const typename Simd::Vector right = Simd::load(b_row[j] + k);
      for (int i = 0; i < kRows; ++i) sums[i][j] = Simd::fma(left[i], right, sums[i][j]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) {
      float sum = Simd::horizontal_sum(sums[i][j]);
      for (std::int64_t k = whole; k < b.cols; ++k) {
        sum = Simd::fma(a_row[i][k], to_float(b_row[j][k]), sum);
      }
      out.row<float>(r + i)[c + j] = sum;
    }
  }
}

template <typename Simd, int kRows, typename T>
QUERN_TARGET void dot_row_block(const Tensor& a, const Tensor& b, const Tensor& out,
                                std::int64_t r) {
  constexpr int kColumns = kRows == 4 ? Simd::kColumnsOfFour : kMinSums / kRows;
  std::int64_t c = 0;
  for (; c + kColumns <= b.rows; c += kColumns) {
    dot_block<Simd, kRows, kColumns, T>(a, b, out, r, c);
  }
  for (; c < b.rows; ++c) dot_block<Simd, kRows, 1, T>(a, b, out, r, c);
}

template <typename Simd, typename T>
QUERN_TARGET void dot_rows_of(const Tensor& a, const Tensor& b, const Tensor& out) {
  std::int64_t r = 0;
  for (; r + 4 <= a.rows; r += 4) dot_row_block<Simd, 4, T>(a, b, out, r);
  for (; r + 2 <= a.rows; r += 2) dot_row_block<Simd, 2, T>(a, b, out, r);
  for (; r < a.rows; ++r) dot_row_block<Simd, 1, T>(a, b, out, r);
}

/// kRows by kVectors · kLanes sums, from row r and column k of out on.
template <typename Simd, int kRows, int kVectors, typename T>
QUERN_TARGET void accumulate_block(const Tensor& a, const Tensor& b, const Tensor& out,
                                   std::int64_t r, std::int64_t k) {
  typename Simd::Vector sums[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      sums[i][j] = Simd::load(out.row<float>(r + i) + k + j * Simd::kLanes);
    }
  }
  for (std::int64_t c = 0; c < b.rows; ++c) {
    const T* b_row = b.row<T>(c) + k;
    typename Simd::Vector factor[kRows];
    for (int i = 0; i < kRows; ++i) factor[i] = Simd::broadcast(a.row<float>(r + i)[c]);
    for (int j = 0; j < kVectors; ++j) {
      const typename Simd::Vector right = Simd::load(b_row + j * Simd::kLanes);
      for (int i = 0; i < kRows; ++i) sums[i][j] = Simd::fma(factor[i], right, sums[i][j]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      Simd::store(out.row<float>(r + i) + k + j * Simd::kLanes, sums[i][j]);
    }
  }
}

template <typename Simd, int kRows, typename T>
QUERN_TARGET void accumulate_row_block(const Tensor& a, const Tensor& b, const Tensor& out,
                                       std::int64_t r) {
  constexpr int kVectors = kMinSums / kRows;
  std::int64_t k = 0;
  for (; k + kVectors * Simd::kLanes <= b.cols; k += kVectors * Simd::kLanes) {
    accumulate_block<Simd, kRows, kVectors, T>(a, b, out, r, k);
  }
  for (; k + Simd::kLanes <= b.cols; k += Simd::kLanes) {
    accumulate_block<Simd, kRows, 1, T>(a, b, out, r, k);
  }
  for (; k < b.cols; ++k) {
    for (int i = 0; i < kRows; ++i) {
      float& sum = out.row<float>(r + i)[k];
      for (std::int64_t c = 0; c < b.rows; ++c) {
        sum = Simd::fma(a.row<float>(r + i)[c], to_float(b.row<T>(c)[k]), sum);
      }
    }
  }
}

template <typename Simd, typename T>
QUERN_TARGET void accumulate_rows_of(const Tensor& a, const Tensor& b, const Tensor& out) {
  std::int64_t r = 0;
  for (; r + 4 <= a.rows; r += 4) accumulate_row_block<Simd, 4, T>(a, b, out, r);
  for (; r + 2 <= a.rows; r += 2) accumulate_row_block<Simd, 2, T>(a, b, out, r);
  for (; r < a.rows; ++r) accumulate_row_block<Simd, 1, T>(a, b, out, r);
}

template <typename Simd>
void dot_rows(const Tensor& a, const Tensor& b, const Tensor& out) {
  if (b.dtype == DType::float32) return dot_rows_of<Simd, float>(a, b, out);
  if (b.dtype == DType::float16) return dot_rows_of<Simd, Half>(a, b, out);
  QUERN_CHECK(b.dtype == DType::bfloat16, "{}", dtype_name(b.dtype));
  dot_rows_of<Simd, BFloat16>(a, b, out);
}

template <typename Simd>
void accumulate_rows(const Tensor& a, const Tensor& b, const Tensor& out) {
  if (b.dtype == DType::float32) return accumulate_rows_of<Simd, float>(a, b, out);
  if (b.dtype == DType::float16) return accumulate_rows_of<Simd, Half>(a, b, out);
  QUERN_CHECK(b.dtype == DType::bfloat16, "{}", dtype_name(b.dtype));
  accumulate_rows_of<Simd, BFloat16>(a, b, out);
}

}  // namespace quern::cpu
