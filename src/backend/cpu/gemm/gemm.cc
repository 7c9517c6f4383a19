#include "backend/cpu/gemm/gemm.h"

#include "backend/cpu/gemm/vector_kernels.h"
#include "backend/cpu/views.h"
#include "base/half.h"

namespace quern::cpu {

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

void multiply_transposed(const Tensor& a, const Tensor& b, const Tensor& out, bool is_cached) {
  vector_kernels().dot_rows(a, b, out, is_cached);
}

bool multiply_quantized(const Tensor& a, const Weight& weight, std::int64_t first,
                        const Tensor& out) {
  const auto dot_quantized = vector_kernels().dot_quantized;
  return a.rows <= kMaxNarrowRows && dot_quantized != nullptr &&
         dot_quantized(a, weight, first, out);
}

void multiply_accumulate(const Tensor& a, const Tensor& b, const Tensor& out) {
  vector_kernels().accumulate_rows(a, b, out);
}

}  // namespace quern::cpu
