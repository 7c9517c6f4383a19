#include "quantize/input_squares.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/gemm/gemm.h"
#include "base/check.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

constexpr std::int64_t kBlockRows = 256;  ///< rows of inputs that are summed in float32 at a time
constexpr std::int64_t kTile = 64;

Tensor matrix_view(float* data, std::int64_t rows, std::int64_t cols, std::int64_t stride) {
  return {reinterpret_cast<std::byte*>(data), rows, cols, stride, DType::float32, Device{}};
}

}  // namespace

InputSquares::InputSquares(std::int64_t inputs, ThreadPool& pool)
    : inputs_(inputs),
      pool_(pool),
      waiting_(static_cast<std::size_t>(inputs * kBlockRows)),
      values_(static_cast<std::size_t>(inputs * inputs)),
      largest_(static_cast<std::size_t>(inputs)) {}

void InputSquares::add(std::span<const float> rows) {
  const auto inputs = static_cast<std::size_t>(inputs_);
  QUERN_CHECK(rows.size() % inputs == 0, "{} of {}", rows.size(), inputs);
  for (; !rows.empty(); rows = rows.subspan(inputs)) {
    for (std::size_t i = 0; i < inputs; ++i) {
      waiting_[i * kBlockRows + static_cast<std::size_t>(num_waiting_)] = rows[i];
      largest_[i] = std::max(largest_[i], std::fabs(rows[i]));
    }
    ++num_rows_;
    if (++num_waiting_ == kBlockRows) add_block();
  }
}

void InputSquares::finish() {
  if (num_waiting_ > 0) {
    // Rows of zeros fill the block: they add nothing.
    for (std::int64_t i = 0; i < inputs_; ++i) {
      float* row = waiting_.data() + i * kBlockRows;
      std::fill(row + num_waiting_, row + kBlockRows, 0.0f);
    }
    add_block();
  }
  for (std::int64_t i = 0; i < inputs_; ++i) {
    for (std::int64_t j = 0; j < i; ++j) values_[i * inputs_ + j] = values_[j * inputs_ + i];
  }
}

void InputSquares::add_block() {
  const std::int64_t tiles = ceil_div(inputs_, kTile);
  pool_.parallel_for(tiles * tiles, [&](std::int64_t index, int /*thread*/) {
    const std::int64_t first = index / tiles * kTile;
    const std::int64_t first_col = index % tiles * kTile;
    if (first_col < first) return;  // below the diagonal
    const std::int64_t rows = std::min(kTile, inputs_ - first);
    const std::int64_t cols = std::min(kTile, inputs_ - first_col);
    std::vector<float> sums(static_cast<std::size_t>(rows * cols));
    const auto part = [&](std::int64_t from, std::int64_t count) {
      return matrix_view(waiting_.data() + from * kBlockRows, count, kBlockRows, kBlockRows);
    };
    cpu::multiply_transposed(part(first, rows), part(first_col, cols),
                             matrix_view(sums.data(), rows, cols, cols), true);
    for (std::int64_t i = 0; i < rows; ++i) {
      float* to = values_.data() + (first + i) * inputs_ + first_col;
      for (std::int64_t j = 0; j < cols; ++j) to[j] += sums[i * cols + j];
    }
  });
  num_waiting_ = 0;
}

std::vector<float> InputSquares::diagonal() const {
  std::vector<float> diagonal(static_cast<std::size_t>(inputs_));
  for (std::size_t i = 0; i < diagonal.size(); ++i) diagonal[i] = values_[i * diagonal.size() + i];
  return diagonal;
}

void InputSquares::scale(std::span<const float> factors) {
  for (std::int64_t i = 0; i < inputs_; ++i) {
    largest_[i] *= factors[i];
    float* row = values_.data() + i * inputs_;
    for (std::int64_t j = 0; j < inputs_; ++j) row[j] *= factors[i] * factors[j];
  }
}

}  // namespace quern
