#include "quantize/rounding/input_squares.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace quern {

InputSquares::InputSquares(std::int64_t inputs, ThreadPool& pool)
    : inputs_(inputs),
      pool_(pool),
      waiting_(inputs),
      values_(static_cast<std::size_t>(inputs * inputs)),
      largest_(static_cast<std::size_t>(inputs)) {}

void InputSquares::add(std::span<const float> rows) {
  const auto inputs = static_cast<std::size_t>(inputs_);
  QUERN_CHECK(rows.size() % inputs == 0, "{} of {}", rows.size(), inputs);
  for (; !rows.empty(); rows = rows.subspan(inputs)) {
    const auto row = rows.first(inputs);
    waiting_.set(num_waiting_, row);
    for (std::size_t i = 0; i < inputs; ++i) largest_[i] = std::max(largest_[i], std::fabs(row[i]));
    ++num_rows_;
    if (++num_waiting_ < RowBlock::kRows) continue;
    add_products(waiting_, waiting_, values_, true, pool_);
    num_waiting_ = 0;
  }
}

void InputSquares::finish() {
  if (num_waiting_ > 0) {
    waiting_.clear_from(num_waiting_);
    add_products(waiting_, waiting_, values_, true, pool_);
    num_waiting_ = 0;
  }
  for (std::int64_t i = 0; i < inputs_; ++i) {
    for (std::int64_t j = 0; j < i; ++j) values_[i * inputs_ + j] = values_[j * inputs_ + i];
  }
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
