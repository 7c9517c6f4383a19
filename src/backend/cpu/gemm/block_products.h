#pragma once

// dot_rows and accumulate_rows of vector_kernels.h for one instruction set. The including file
// defines QUERN_TARGET, the function attribute that enables the instructions, and in its unnamed
// namespace (so that no instantiation is shared) a struct Simd:
// Vector, of kLanes floats; load(const T*), store, broadcast, zero; fma(a, b, c) for a·b + c of
// vectors and of floats, both rounded equally often; add; horizontal_sum; kColumnsOfFour, the
// columns whose sums for four rows fit into registers.

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "base/half.h"
#include "base/memory/tensor.h"

namespace quern::cpu {

/// An element of a product is the sum of kDotSums sums: number i has the blocks i, i + kDotSums,
/// i + 2 kDotSums, … of kDotBlock terms. The order depends on the depth alone. A row of b is so
/// read nearly in the order of its memory with enough sums in flight: on a Zen 4 two to three times
/// as fast as several rows of b side by side, which its prefetchers do not follow.
inline constexpr std::int64_t kDotBlock = 32;
inline constexpr int kDotSums = 2;

/// Independent accumulators that hide the latency of a multiply-add.
inline constexpr int kMinSums = 8;

/// Writes an element: what its sums have, and the terms from `whole` on.
template <typename Simd, typename T>
QUERN_TARGET void finish_dot(const typename Simd::Vector (&sums)[kDotSums], const float* a_row,
                             const T* b_row, std::int64_t whole, std::int64_t depth, float* out) {
  float sum = Simd::horizontal_sum(Simd::add(sums[0], sums[1]));
  // By Simd::fma too: left to the compiler, contraction would differ between block sizes and
  // dtypes, and a row's sum would depend on them.
  for (std::int64_t k = whole; k < depth; ++k) sum = Simd::fma(a_row[k], to_float(b_row[k]), sum);
  *out = sum;
}

/// kRows dot products with one row c of b, which is read from its first element to its last.
template <typename Simd, int kRows, typename T>
QUERN_TARGET void dot_column(const Tensor& a, const Tensor& b, const Tensor& out, std::int64_t r,
                             std::int64_t c) {
  const float* a_row[kRows];
  const T* b_row = b.row<T>(c);
  typename Simd::Vector sums[kRows][kDotSums];
  for (int i = 0; i < kRows; ++i) a_row[i] = a.row<float>(r + i);
  for (auto& row : sums) {
    for (auto& sum : row) sum = Simd::zero();
  }
  const std::int64_t whole = b.cols / Simd::kLanes * Simd::kLanes;
  const auto add = [&](std::int64_t k, int which) QUERN_TARGET {
    const typename Simd::Vector right = Simd::load(b_row + k);
    for (int i = 0; i < kRows; ++i) {
      sums[i][which] = Simd::fma(Simd::load(a_row[i] + k), right, sums[i][which]);
    }
  };
  std::int64_t begin = 0;
  for (; begin + kDotSums * kDotBlock <= whole; begin += kDotSums * kDotBlock) {
    for (std::int64_t k = begin; k < begin + kDotBlock; k += Simd::kLanes) {
      for (int which = 0; which < kDotSums; ++which) add(k + which * kDotBlock, which);
    }
  }
  for (int which = 0; which < kDotSums; ++which, begin += kDotBlock) {
    const std::int64_t end = std::min(begin + kDotBlock, whole);
    for (std::int64_t k = begin; k < end; k += Simd::kLanes) add(k, which);
  }
  for (int i = 0; i < kRows; ++i) {
    finish_dot<Simd>(sums[i], a_row[i], b_row, whole, b.cols, out.row<float>(r + i) + c);
  }
}

/// A block of kRows by kColumns dot products, from row r of a and row c of b on; one sum after
/// another, as registers hold one of each.
template <typename Simd, int kRows, int kColumns, typename T>
QUERN_TARGET void dot_block(const Tensor& a, const Tensor& b, const Tensor& out, std::int64_t r,
                            std::int64_t c) {
  const float* a_row[kRows];
  const T* b_row[kColumns];
  typename Simd::Vector all_sums[kRows][kColumns][kDotSums];
  for (int i = 0; i < kRows; ++i) a_row[i] = a.row<float>(r + i);
  for (int j = 0; j < kColumns; ++j) b_row[j] = b.row<T>(c + j);
  const std::int64_t whole = b.cols / Simd::kLanes * Simd::kLanes;
  for (int which = 0; which < kDotSums; ++which) {
    typename Simd::Vector sums[kRows][kColumns];
    for (auto& row : sums) {
      for (auto& sum : row) sum = Simd::zero();
    }
    for (std::int64_t first = which * kDotBlock; first < whole; first += kDotSums * kDotBlock) {
      const std::int64_t end = std::min(first + kDotBlock, whole);
      for (std::int64_t k = first; k < end; k += Simd::kLanes) {
        typename Simd::Vector left[kRows];
        for (int i = 0; i < kRows; ++i) left[i] = Simd::load(a_row[i] + k);
        for (int j = 0; j < kColumns; ++j) {
          const typename Simd::Vector right = Simd::load(b_row[j] + k);
          for (int i = 0; i < kRows; ++i) sums[i][j] = Simd::fma(left[i], right, sums[i][j]);
        }
      }
    }
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kColumns; ++j) all_sums[i][j][which] = sums[i][j];
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) {
      finish_dot<Simd>(all_sums[i][j], a_row[i], b_row[j], whole, b.cols,
                       out.row<float>(r + i) + c + j);
    }
  }
}

template <typename Simd, int kRows, typename T>
QUERN_TARGET void dot_row_block(const Tensor& a, const Tensor& b, const Tensor& out, std::int64_t r,
                                bool is_cached) {
  std::int64_t c = 0;
  if (!is_cached) {
    for (; c < b.rows; ++c) dot_column<Simd, kRows, T>(a, b, out, r, c);
    return;
  }
  constexpr int kColumns = kRows == 4 ? Simd::kColumnsOfFour : kMinSums / kRows;
  for (; c + kColumns <= b.rows; c += kColumns) {
    dot_block<Simd, kRows, kColumns, T>(a, b, out, r, c);
  }
  for (; c < b.rows; ++c) dot_block<Simd, kRows, 1, T>(a, b, out, r, c);
}

template <typename Simd, typename T>
QUERN_TARGET void dot_rows_of(const Tensor& a, const Tensor& b, const Tensor& out, bool is_cached) {
  // The first rows bring b into the cache.
  const auto cached = [&](std::int64_t r) { return is_cached || r > 0; };
  std::int64_t r = 0;
  for (; r + 4 <= a.rows; r += 4) dot_row_block<Simd, 4, T>(a, b, out, r, cached(r));
  for (; r + 2 <= a.rows; r += 2) dot_row_block<Simd, 2, T>(a, b, out, r, cached(r));
  for (; r < a.rows; ++r) dot_row_block<Simd, 1, T>(a, b, out, r, cached(r));
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
void dot_rows(const Tensor& a, const Tensor& b, const Tensor& out, bool is_cached) {
  if (b.dtype == DType::float32) return dot_rows_of<Simd, float>(a, b, out, is_cached);
  if (b.dtype == DType::float16) return dot_rows_of<Simd, Half>(a, b, out, is_cached);
  QUERN_CHECK(b.dtype == DType::bfloat16, "{}", dtype_name(b.dtype));
  dot_rows_of<Simd, BFloat16>(a, b, out, is_cached);
}

template <typename Simd>
void accumulate_rows(const Tensor& a, const Tensor& b, const Tensor& out) {
  if (b.dtype == DType::float32) return accumulate_rows_of<Simd, float>(a, b, out);
  if (b.dtype == DType::float16) return accumulate_rows_of<Simd, Half>(a, b, out);
  QUERN_CHECK(b.dtype == DType::bfloat16, "{}", dtype_name(b.dtype));
  accumulate_rows_of<Simd, BFloat16>(a, b, out);
}

}  // namespace quern::cpu
