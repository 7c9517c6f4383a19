#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads/thread_pool.h"
#include "quantize/rounding/row_block.h"

namespace quern {

/// Σ x xᵀ over the inputs x of a matrix, which says how much an error of its rows costs: the
/// squared error of an output is e · Σ x xᵀ · e for the error e of a row. Sums are float32 within
/// blocks of rows, so that they do not depend on the number of threads.
class InputSquares {
 public:
  InputSquares(std::int64_t inputs, ThreadPool& pool);

  std::int64_t inputs() const { return inputs_; }
  std::int64_t num_rows() const { return num_rows_; }

  /// Adds rows of inputs, [any, inputs] row-major.
  /// Cost: inputs² multiply-adds a row, half of which are used.
  void add(std::span<const float> rows);
  /// Adds the rows that wait for a whole block.
  void finish();

  /// [inputs, inputs] row-major, symmetric. Only after finish().
  std::span<float> values() { return values_; }
  std::span<const float> values() const { return values_; }
  std::vector<float> diagonal() const;
  /// The largest magnitude of each input.
  std::span<const float> largest() const { return largest_; }

  /// As if every input had been multiplied by its factor.
  void scale(std::span<const float> factors);

 private:
  std::int64_t inputs_;
  ThreadPool& pool_;
  std::int64_t num_rows_ = 0;
  std::int64_t num_waiting_ = 0;
  RowBlock waiting_;
  std::vector<float> values_;
  std::vector<float> largest_;
};

}  // namespace quern
