#include "backend/cpu/vector_kernels.h"

#include <cmath>
#include <limits>

#include "backend/cpu/views.h"
#include "base/check.h"
#include "base/half.h"

namespace quern::cpu {
namespace {

template <typename T>
float dot(const float* a, const T* b, std::int64_t depth) {
  constexpr std::int64_t kLanes = 8;
  float lanes[kLanes] = {};
  const std::int64_t whole = depth / kLanes * kLanes;
  for (std::int64_t k = 0; k < whole; k += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) lanes[j] += a[k + j] * to_float(b[k + j]);
  }
  float sum = 0.0f;
  for (const float lane : lanes) sum += lane;
  for (std::int64_t k = whole; k < depth; ++k) sum += a[k] * to_float(b[k]);
  return sum;
}

template <typename T>
void dot_rows_of(const Tensor& a, const Tensor& b, const Tensor& out) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t c = 0; c < b.rows; ++c) {
      out.row<float>(r)[c] = dot(a.row<float>(r), b.row<T>(c), b.cols);
    }
  }
}

template <typename T>
void accumulate_rows_of(const Tensor& a, const Tensor& b, const Tensor& out) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    float* sums = out.row<float>(r);
    for (std::int64_t c = 0; c < b.rows; ++c) {
      const float factor = a.row<float>(r)[c];
      const T* row = b.row<T>(c);
      for (std::int64_t k = 0; k < b.cols; ++k) sums[k] += factor * to_float(row[k]);
    }
  }
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

float softmax_numerators(std::span<float> scores) {
  float largest = -std::numeric_limits<float>::infinity();
  for (const float score : scores) largest = score > largest ? score : largest;
  float sum = 0.0f;
  const float reference = softmax_reference(largest);
  for (float& score : scores) {
    score = std::exp(score - reference);
    sum += score;
  }
  return sum;
}

void silu(std::span<float> values) {
  for (float& x : values) x = x / (1.0f + std::exp(-x));
}

void gelu_tanh(std::span<float> values) {
  for (float& x : values)
    x = x / (1.0f + std::exp(-2.0f * kGeluRoot * (x + 0.044715f * x * x * x)));
}

}  // namespace

const VectorKernels& portable_kernels() {
  static constexpr VectorKernels kKernels = {dot_rows, accumulate_rows, softmax_numerators, silu,
                                             gelu_tanh};
  return kKernels;
}

const VectorKernels& vector_kernels() {
  static const VectorKernels& best =
      avx2_kernels() != nullptr ? *avx2_kernels() : portable_kernels();
  return best;
}

}  // namespace quern::cpu
