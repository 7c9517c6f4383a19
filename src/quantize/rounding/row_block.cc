#include "quantize/rounding/row_block.h"

#include <algorithm>

#include "backend/cpu/gemm/gemm.h"
#include "backend/cpu/views.h"
#include "base/check.h"
#include "base/memory/shape.h"

namespace quern {

void RowBlock::set(std::int64_t index, std::span<const float> row) {
  QUERN_CHECK(std::ssize(row) == width_ && index < kRows, "{} of {}", row.size(), width_);
  for (std::int64_t i = 0; i < width_; ++i) values_[i * kRows + index] = row[i];
}

void RowBlock::clear_from(std::int64_t first) {
  for (std::int64_t i = 0; i < width_; ++i) {
    float* column = values_.data() + i * kRows;
    std::fill(column + first, column + kRows, 0.0f);
  }
}

Tensor RowBlock::columns(std::int64_t first, std::int64_t count) {
  return cpu::float_view(values_.data() + first * kRows, count, kRows, kRows);
}

void add_products(RowBlock& left, RowBlock& right, std::span<float> sums, bool upper,
                  ThreadPool& pool) {
  constexpr std::int64_t kTile = 64;
  const std::int64_t width = right.width();
  const std::int64_t tiles = ceil_div(width, kTile);
  pool.parallel_for(ceil_div(left.width(), kTile) * tiles, [&](std::int64_t index, int /*thread*/) {
    const std::int64_t first = index / tiles * kTile;
    const std::int64_t first_col = index % tiles * kTile;
    if (upper && first_col < first) return;
    const std::int64_t rows = std::min(kTile, left.width() - first);
    const std::int64_t cols = std::min(kTile, width - first_col);
    std::vector<float> products(static_cast<std::size_t>(rows * cols));
    cpu::multiply_transposed(left.columns(first, rows), right.columns(first_col, cols),
                             cpu::float_view(products.data(), rows, cols, cols), true);
    for (std::int64_t i = 0; i < rows; ++i) {
      float* to = sums.data() + (first + i) * width + first_col;
      for (std::int64_t j = 0; j < cols; ++j) to[j] += products[i * cols + j];
    }
  });
}

}  // namespace quern
