#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/memory/tensor.h"
#include "base/threads/thread_pool.h"

namespace quern {

/// Rows that wait to be summed, transposed, so that a sum over them reads memory in order.
class RowBlock {
 public:
  /// Rows whose sums are float32: blocks keep them apart from the number of threads.
  static constexpr std::int64_t kRows = 256;

  explicit RowBlock(std::int64_t width)
      : width_(width), values_(static_cast<std::size_t>(width * kRows)) {}

  std::int64_t width() const { return width_; }
  /// Row `index` of the block. Shapes: row [width].
  void set(std::int64_t index, std::span<const float> row);
  /// Makes the rows from `first` on zeros, which add nothing.
  void clear_from(std::int64_t first);
  /// Elements [first, first + count) of each row. Shapes: [count, kRows].
  Tensor columns(std::int64_t first, std::int64_t count);

 private:
  std::int64_t width_;
  std::vector<float> values_;
};

/// sums += Σ over the rows a of one block and b of the other of aᵀ · b. Shapes: sums
/// [left.width(), right.width()] row-major. `upper`: nothing left of the diagonal is needed.
void add_products(RowBlock& left, RowBlock& right, std::span<float> sums, bool upper,
                  ThreadPool& pool);

}  // namespace quern
