#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/memory/tensor.h"
#include "graph/step.h"

namespace quern::cpu {

/// A float32 matrix over scratch memory, with `row_stride` elements from row to row.
inline Tensor float_view(float* data, std::int64_t rows, std::int64_t cols,
                         std::int64_t row_stride) {
  return {reinterpret_cast<std::byte*>(data), rows, cols, row_stride, DType::float32, Device{}};
}

/// A dense one.
inline Tensor float_view(float* data, std::int64_t rows, std::int64_t cols) {
  return float_view(data, rows, cols, cols);
}

/// The `rows` rows of a matrix that start at `first`.
inline Tensor row_slice(const Tensor& tensor, std::int64_t first, std::int64_t rows) {
  Tensor slice = tensor;
  slice.data += first * tensor.row_stride * static_cast<std::int64_t>(dtype_bytes(tensor.dtype));
  slice.rows = rows;
  return slice;
}

/// The bytes of one element.
inline std::byte* element(const Tensor& tensor, std::int64_t row, std::int64_t col) {
  return tensor.data +
         (row * tensor.row_stride + col) * static_cast<std::int64_t>(dtype_bytes(tensor.dtype));
}

/// A row of a float32 matrix.
inline std::span<float> float_row(const Tensor& tensor, std::int64_t row) {
  return {tensor.row<float>(row), static_cast<std::size_t>(tensor.cols)};
}

/// The batch's sequence of a token row.
inline int sequence_of_row(const BatchView& batch, std::int64_t row) {
  const std::int32_t* begin = batch.cu_seqlens_q;
  return static_cast<int>(std::upper_bound(begin, begin + batch.num_seqs + 1, row) - begin) - 1;
}

}  // namespace quern::cpu
