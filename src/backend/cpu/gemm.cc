#include "backend/cpu/gemm.h"

#include <cblas.h>

#include <limits>

#include "backend/cpu/vector_kernels.h"
#include "backend/cpu/views.h"
#include "base/check.h"
#include "base/half.h"

namespace quern::cpu {
namespace {

blasint blas_int(std::int64_t size) {
  QUERN_CHECK(size >= 0 && size <= std::numeric_limits<blasint>::max(), "{}", size);
  return static_cast<blasint>(size);
}

void sgemm(const Tensor& a, const Tensor& b, CBLAS_TRANSPOSE transpose_b, float beta,
           const Tensor& out) {
  QUERN_CHECK(b.dtype == DType::float32, "{} rows by {}", a.rows, dtype_name(b.dtype));
  cblas_sgemm(CblasRowMajor, CblasNoTrans, transpose_b, blas_int(a.rows), blas_int(out.cols),
              blas_int(a.cols), 1.0f, a.row<float>(0), blas_int(a.row_stride), b.row<float>(0),
              blas_int(b.row_stride), beta, out.row<float>(0), blas_int(out.row_stride));
}

/// Whether a product with that many rows on its left side is left to OpenBLAS.
bool is_for_openblas(std::int64_t rows) {
  static const bool has_fast_kernels = avx2_kernels() != nullptr;
  return !has_fast_kernels && rows > kMaxNarrowRows;
}

}  // namespace

bool reads_as_stored(DType stored, std::int64_t rows) {
  switch (stored) {
    case DType::float32:
      return true;
    case DType::float16:
    case DType::bfloat16:
      return rows <= kMaxNarrowRows;
    default:
      return false;
  }
}

Tensor prepare_right_side(const Tensor& stored, std::int64_t rows, float* scratch) {
  if (reads_as_stored(stored.dtype, rows)) return stored;
  const Tensor widened = float_view(scratch, stored.rows, stored.cols);
  for (std::int64_t row = 0; row < stored.rows; ++row) {
    load_floats(stored.dtype, element(stored, row, 0), float_row(widened, row));
  }
  return widened;
}

void multiply_transposed(const Tensor& a, const Tensor& b, const Tensor& out) {
  if (is_for_openblas(a.rows)) return sgemm(a, b, CblasTrans, 0.0f, out);
  vector_kernels().dot_rows(a, b, out);
}

void multiply_accumulate(const Tensor& a, const Tensor& b, const Tensor& out) {
  if (is_for_openblas(a.rows)) return sgemm(a, b, CblasNoTrans, 1.0f, out);
  vector_kernels().accumulate_rows(a, b, out);
}

}  // namespace quern::cpu
