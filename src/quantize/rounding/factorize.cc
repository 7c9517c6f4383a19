#include "quantize/rounding/factorize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/gemm/gemm.h"
#include "backend/cpu/views.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

constexpr std::int64_t kBlock = 64;    ///< columns that are finished at a time
constexpr std::int64_t kRowTile = 64;  ///< rows of a thread's share

/// A block of columns [begin, end), with those to its right finished.
class ColumnBlock {
 public:
  ColumnBlock(std::span<float> matrix, std::int64_t size, std::int64_t begin, std::int64_t end)
      : data_(matrix.data()), size_(size), begin_(begin), end_(end) {}

  /// Takes what the columns to the right account for out of rows [first, first + count).
  void subtract(std::int64_t first, std::int64_t count) const {
    const std::int64_t depth = size_ - end_;
    const std::int64_t width = end_ - begin_;
    if (depth == 0) return;
    std::vector<float> products(static_cast<std::size_t>(count * width));
    cpu::multiply_transposed(cpu::float_view(at(first, end_), count, depth, size_),
                             cpu::float_view(at(begin_, end_), width, depth, size_),
                             cpu::float_view(products.data(), count, width, width));
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t diagonal = std::max(first + i - begin_, std::int64_t{0});
      for (std::int64_t j = diagonal; j < width; ++j) {
        *at(first + i, begin_ + j) -= products[i * width + j];
      }
    }
  }

  /// The rows of the block itself, from the last column to the first; see factorize_upper().
  bool finish_diagonal() const {
    for (std::int64_t col = end_ - 1; col >= begin_; --col) {
      const double square = *at(col, col) - tail_product(col, col, col);
      if (!(square > 0.0) || !std::isfinite(square)) return false;
      *at(col, col) = static_cast<float>(std::sqrt(square));
      for (std::int64_t row = begin_; row < col; ++row) finish(row, col);
    }
    return true;
  }

  /// Rows above the block.
  void finish_rows(std::int64_t first, std::int64_t count) const {
    for (std::int64_t row = first; row < first + count; ++row) {
      for (std::int64_t col = end_ - 1; col >= begin_; --col) finish(row, col);
    }
  }

 private:
  float* at(std::int64_t row, std::int64_t col) const { return data_ + row * size_ + col; }

  /// Σ over the block's columns after `col` of the products of two rows.
  double tail_product(std::int64_t a, std::int64_t b, std::int64_t col) const {
    double sum = 0.0;
    for (std::int64_t j = col + 1; j < end_; ++j) {
      sum += static_cast<double>(*at(a, j)) * static_cast<double>(*at(b, j));
    }
    return sum;
  }

  void finish(std::int64_t row, std::int64_t col) const {
    const double rest = *at(row, col) - tail_product(row, col, col);
    *at(row, col) = static_cast<float>(rest / static_cast<double>(*at(col, col)));
  }

  float* data_;
  std::int64_t size_, begin_, end_;
};

}  // namespace

bool factorize_upper(std::span<float> matrix, std::int64_t size, ThreadPool& pool) {
  for (std::int64_t end = size; end > 0;) {
    const std::int64_t begin = std::max(end - kBlock, std::int64_t{0});
    const ColumnBlock block(matrix, size, begin, end);
    const auto for_rows = [&](std::int64_t num_rows, const auto& body) {
      pool.parallel_for(ceil_div(num_rows, kRowTile), [&](std::int64_t index, int /*thread*/) {
        body(index * kRowTile, std::min(kRowTile, num_rows - index * kRowTile));
      });
    };
    for_rows(end, [&](std::int64_t first, std::int64_t count) { block.subtract(first, count); });
    if (!block.finish_diagonal()) return false;
    for_rows(begin,
             [&](std::int64_t first, std::int64_t count) { block.finish_rows(first, count); });
    end = begin;
  }
  return true;
}

}  // namespace quern
