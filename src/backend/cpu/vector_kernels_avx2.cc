#include "backend/cpu/vector_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "backend/cpu/vector_math.h"
#include "base/check.h"
#include "base/half.h"

#define QUERN_AVX2 __attribute__((target("avx2,fma,f16c")))

namespace quern::cpu {
namespace {

constexpr std::int64_t kLanes = 8;
// Enough independent sums to keep two FMA units of latency four busy.
constexpr int kAccumulators = 8;

QUERN_AVX2 inline __m256 load(const float* source) { return _mm256_loadu_ps(source); }
QUERN_AVX2 inline __m256 load(const Half* source) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}
QUERN_AVX2 inline __m256 load(const BFloat16* source) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

QUERN_AVX2 inline float horizontal_sum(__m256 lanes) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

/// A block of kRows by kColumns dot products, from row r of a and row c of b on.
template <int kRows, int kColumns, typename T>
QUERN_AVX2 void dot_block(const Tensor& a, const Tensor& b, const Tensor& out, std::int64_t r,
                          std::int64_t c) {
  const float* a_row[kRows];
  const T* b_row[kColumns];
  __m256 sums[kRows][kColumns];
  for (int i = 0; i < kRows; ++i) a_row[i] = a.row<float>(r + i);
  for (int j = 0; j < kColumns; ++j) b_row[j] = b.row<T>(c + j);
  for (auto& row : sums) {
    for (__m256& sum : row) sum = _mm256_setzero_ps();
  }
  const std::int64_t whole = b.cols / kLanes * kLanes;
  for (std::int64_t k = 0; k < whole; k += kLanes) {
    __m256 left[kRows];
    for (int i = 0; i < kRows; ++i) left[i] = load(a_row[i] + k);
    for (int j = 0; j < kColumns; ++j) {
      const __m256 right = load(b_row[j] + k);
      for (int i = 0; i < kRows; ++i) sums[i][j] = _mm256_fmadd_ps(left[i], right, sums[i][j]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) {
      float sum = horizontal_sum(sums[i][j]);
      for (std::int64_t k = whole; k < b.cols; ++k) sum += a_row[i][k] * to_float(b_row[j][k]);
      out.row<float>(r + i)[c + j] = sum;
    }
  }
}

template <int kRows, typename T>
QUERN_AVX2 void dot_row_band(const Tensor& a, const Tensor& b, const Tensor& out, std::int64_t r) {
  constexpr int kColumns = kAccumulators / kRows;
  std::int64_t c = 0;
  for (; c + kColumns <= b.rows; c += kColumns) dot_block<kRows, kColumns, T>(a, b, out, r, c);
  for (; c < b.rows; ++c) dot_block<kRows, 1, T>(a, b, out, r, c);
}

template <typename T>
QUERN_AVX2 void dot_rows_of(const Tensor& a, const Tensor& b, const Tensor& out) {
  std::int64_t r = 0;
  for (; r + 4 <= a.rows; r += 4) dot_row_band<4, T>(a, b, out, r);
  for (; r + 2 <= a.rows; r += 2) dot_row_band<2, T>(a, b, out, r);
  for (; r < a.rows; ++r) dot_row_band<1, T>(a, b, out, r);
}

/// kRows by kVectors · kLanes sums, from row r and column k of out on.
template <int kRows, int kVectors, typename T>
QUERN_AVX2 void accumulate_block(const Tensor& a, const Tensor& b, const Tensor& out,
                                 std::int64_t r, std::int64_t k) {
  __m256 sums[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      sums[i][j] = _mm256_loadu_ps(out.row<float>(r + i) + k + j * kLanes);
    }
  }
  for (std::int64_t c = 0; c < b.rows; ++c) {
    const T* b_row = b.row<T>(c) + k;
    __m256 factor[kRows];
    for (int i = 0; i < kRows; ++i) factor[i] = _mm256_set1_ps(a.row<float>(r + i)[c]);
    for (int j = 0; j < kVectors; ++j) {
      const __m256 right = load(b_row + j * kLanes);
      for (int i = 0; i < kRows; ++i) sums[i][j] = _mm256_fmadd_ps(factor[i], right, sums[i][j]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      _mm256_storeu_ps(out.row<float>(r + i) + k + j * kLanes, sums[i][j]);
    }
  }
}

template <int kRows, typename T>
QUERN_AVX2 void accumulate_row_band(const Tensor& a, const Tensor& b, const Tensor& out,
                                    std::int64_t r) {
  constexpr int kVectors = kAccumulators / kRows;
  std::int64_t k = 0;
  for (; k + kVectors * kLanes <= b.cols; k += kVectors * kLanes) {
    accumulate_block<kRows, kVectors, T>(a, b, out, r, k);
  }
  for (; k + kLanes <= b.cols; k += kLanes) accumulate_block<kRows, 1, T>(a, b, out, r, k);
  for (; k < b.cols; ++k) {
    for (int i = 0; i < kRows; ++i) {
      float& sum = out.row<float>(r + i)[k];
      for (std::int64_t c = 0; c < b.rows; ++c) {
        sum += a.row<float>(r + i)[c] * to_float(b.row<T>(c)[k]);
      }
    }
  }
}

template <typename T>
QUERN_AVX2 void accumulate_rows_of(const Tensor& a, const Tensor& b, const Tensor& out) {
  std::int64_t r = 0;
  for (; r + 4 <= a.rows; r += 4) accumulate_row_band<4, T>(a, b, out, r);
  for (; r + 2 <= a.rows; r += 2) accumulate_row_band<2, T>(a, b, out, r);
  for (; r < a.rows; ++r) accumulate_row_band<1, T>(a, b, out, r);
}

void dot_rows(const Tensor& a, const Tensor& b, const Tensor& out) {
  if (b.dtype == DType::float32) return dot_rows_of<float>(a, b, out);
  if (b.dtype == DType::float16) return dot_rows_of<Half>(a, b, out);
  QUERN_CHECK(b.dtype == DType::bfloat16, "{}", dtype_name(b.dtype));
  dot_rows_of<BFloat16>(a, b, out);
}

void accumulate_rows(const Tensor& a, const Tensor& b, const Tensor& out) {
  if (b.dtype == DType::float32) return accumulate_rows_of<float>(a, b, out);
  if (b.dtype == DType::float16) return accumulate_rows_of<Half>(a, b, out);
  QUERN_CHECK(b.dtype == DType::bfloat16, "{}", dtype_name(b.dtype));
  accumulate_rows_of<BFloat16>(a, b, out);
}

QUERN_AVX2 float softmax_numerators(std::span<float> scores) {
  return softmax_numerators_loop(scores);
}
QUERN_AVX2 void silu(std::span<float> values) { silu_loop(values); }
QUERN_AVX2 void gelu_tanh(std::span<float> values) { gelu_tanh_loop(values); }

}  // namespace

const VectorKernels* avx2_kernels() {
  static constexpr VectorKernels kKernels = {dot_rows, accumulate_rows, softmax_numerators, silu,
                                             gelu_tanh};
  const bool has_them =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  return has_them ? &kKernels : nullptr;
}

}  // namespace quern::cpu

#else

namespace quern::cpu {

const VectorKernels* avx2_kernels() { return nullptr; }

}  // namespace quern::cpu

#endif
