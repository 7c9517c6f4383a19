#include "backend/cpu/vector_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

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

/// A block of kRows by kColumns dot products, from row r of a and row c of b on. Here and below
/// what is left over is summed by std::fma, as the vectors are: left to the compiler, a product
/// would be fused in one block size or dtype and not in another, and a row's sum depend on it.
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
      for (std::int64_t k = whole; k < b.cols; ++k) {
        sum = std::fma(a_row[i][k], to_float(b_row[j][k]), sum);
      }
      out.row<float>(r + i)[c + j] = sum;
    }
  }
}

template <int kRows, typename T>
QUERN_AVX2 void dot_row_band(const Tensor& a, const Tensor& b, const Tensor& out, std::int64_t r) {
  // Four rows take twelve sums: then the loads, seven a turn, do not hold the FMA units up.
  constexpr int kColumns = kRows == 4 ? 3 : kAccumulators / kRows;
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
        sum = std::fma(a.row<float>(r + i)[c], to_float(b.row<T>(c)[k]), sum);
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

QUERN_AVX2 inline __m256 broadcast(float value) { return _mm256_set1_ps(value); }

/// 2^n for each n in [-126, 127].
QUERN_AVX2 inline __m256 power_of_two(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/// e^x to within two units in the last place, subnormal results included. NaN stays NaN.
/// Source: Cephes expf (Moshier), with the scaling split in two so that no intermediate overflows.
QUERN_AVX2 inline __m256 exponential(__m256 x) {
  // Both return their second operand when there is a NaN.
  x = _mm256_min_ps(broadcast(89.0f), _mm256_max_ps(broadcast(-105.0f), x));
  const __m256i n = _mm256_cvtps_epi32(_mm256_mul_ps(x, broadcast(1.44269504088896341f)));
  const __m256 power = _mm256_cvtepi32_ps(n);
  __m256 r = _mm256_fnmadd_ps(power, broadcast(0.693359375f), x);
  r = _mm256_fmadd_ps(power, broadcast(2.12194440e-4f), r);
  __m256 sum = broadcast(1.9875691500e-4f);
  for (const float coefficient :
       {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) {
    sum = _mm256_fmadd_ps(sum, r, broadcast(coefficient));
  }
  sum = _mm256_fmadd_ps(sum, _mm256_mul_ps(r, r), _mm256_add_ps(r, broadcast(1.0f)));
  const __m256i half = _mm256_srai_epi32(n, 1);
  sum = _mm256_mul_ps(sum, power_of_two(half));
  return _mm256_mul_ps(sum, power_of_two(_mm256_sub_epi32(n, half)));
}

/// x / (1 + e^-y).
QUERN_AVX2 inline __m256 over_logistic(__m256 x, __m256 y) {
  const __m256 power = exponential(_mm256_sub_ps(_mm256_setzero_ps(), y));
  return _mm256_div_ps(x, _mm256_add_ps(broadcast(1.0f), power));
}

struct Silu {
  QUERN_AVX2 static __m256 of(__m256 x) { return over_logistic(x, x); }
};

struct GeluTanh {
  QUERN_AVX2 static __m256 of(__m256 x) {
    const __m256 square = _mm256_mul_ps(x, x);
    const __m256 inner = _mm256_fmadd_ps(broadcast(0.044715f), square, broadcast(1.0f));
    return over_logistic(x, _mm256_mul_ps(broadcast(2.0f * kGeluRoot), _mm256_mul_ps(x, inner)));
  }
};

/// The last, incomplete vector of some values, filled up with `filler`.
class Tail {
 public:
  QUERN_AVX2 Tail(std::span<float> values, float filler)
      : values_(values.subspan(values.size() / kLanes * kLanes)) {
    padded_.fill(filler);
    std::copy(values_.begin(), values_.end(), padded_.begin());
  }
  bool empty() const { return values_.empty(); }
  float* data() { return padded_.data(); }
  void write_back() const { std::copy_n(padded_.begin(), values_.size(), values_.begin()); }

 private:
  std::span<float> values_;
  std::array<float, kLanes> padded_;
};

template <typename Function>
QUERN_AVX2 void apply(std::span<float> values) {
  float* data = values.data();
  for (std::size_t i = 0; i + kLanes <= values.size(); i += kLanes) {
    _mm256_storeu_ps(data + i, Function::of(load(data + i)));
  }
  Tail tail(values, 0.0f);
  if (tail.empty()) return;
  _mm256_storeu_ps(tail.data(), Function::of(load(tail.data())));
  tail.write_back();
}

QUERN_AVX2 float softmax_numerators(std::span<float> scores) {
  float* data = scores.data();
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  Tail tail(scores, kLowest);
  // max returns its second operand when there is a NaN.
  __m256 largest = _mm256_max_ps(load(tail.data()), broadcast(kLowest));
  for (std::size_t i = 0; i + kLanes <= scores.size(); i += kLanes) {
    largest = _mm256_max_ps(load(data + i), largest);
  }
  std::array<float, kLanes> lanes;
  _mm256_storeu_ps(lanes.data(), largest);
  const __m256 reference =
      broadcast(softmax_reference(*std::max_element(lanes.begin(), lanes.end())));

  __m256 sum = exponential(_mm256_sub_ps(load(tail.data()), reference));
  _mm256_storeu_ps(tail.data(), sum);
  tail.write_back();
  for (std::size_t i = 0; i + kLanes <= scores.size(); i += kLanes) {
    const __m256 numerators = exponential(_mm256_sub_ps(load(data + i), reference));
    _mm256_storeu_ps(data + i, numerators);
    sum = _mm256_add_ps(sum, numerators);
  }
  return horizontal_sum(sum);
}

}  // namespace

const VectorKernels* avx2_kernels() {
  static constexpr VectorKernels kKernels = {dot_rows, accumulate_rows, softmax_numerators,
                                             apply<Silu>, apply<GeluTanh>};
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
