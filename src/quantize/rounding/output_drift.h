#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads/thread_pool.h"
#include "quantize/rounding/row_block.h"

namespace quern {

/// Σ W (x₀ - x) xᵀ over the inputs x of a matrix W whose inputs in the original model are x₀: how
/// far its outputs have drifted by what was quantized before it, as far as its inputs tell. Sums
/// are float32 within blocks of rows, so that they do not depend on the number of threads.
class OutputDrift {
 public:
  /// Shapes: matrix [any, inputs] row-major. It outlives this object unchanged but for scale().
  OutputDrift(std::span<const float> matrix, std::int64_t inputs, ThreadPool& pool);

  /// Adds rows of inputs and the original ones, both [any, inputs] row-major.
  /// Cost: two multiply-adds a row for each number of the matrix.
  void add(std::span<const float> rows, std::span<const float> original_rows);
  /// Adds the rows that wait for a whole block.
  void finish();

  /// Shaped as the matrix. Only after finish().
  std::span<const float> values() const { return values_; }

  /// As if every input had been multiplied by its factor, and the matrix divided by it.
  void scale(std::span<const float> factors);

 private:
  void add_block();

  std::span<const float> matrix_;
  std::int64_t inputs_;
  ThreadPool& pool_;
  std::int64_t num_waiting_ = 0;
  RowBlock waiting_;
  std::vector<float> differences_;  ///< of the rows that wait, [rows of a block, inputs]
  RowBlock outputs_;                ///< W times these
  std::vector<float> values_;
};

}  // namespace quern
