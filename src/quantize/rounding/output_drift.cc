#include "quantize/rounding/output_drift.h"

#include <algorithm>
#include <functional>

#include "backend/cpu/gemm/gemm.h"
#include "backend/cpu/views.h"
#include "base/check.h"
#include "base/memory/shape.h"

namespace quern {

OutputDrift::OutputDrift(std::span<const float> matrix, std::int64_t inputs, ThreadPool& pool)
    : matrix_(matrix),
      inputs_(inputs),
      pool_(pool),
      waiting_(inputs),
      differences_(static_cast<std::size_t>(inputs * RowBlock::kRows)),
      outputs_(std::ssize(matrix) / inputs),
      values_(matrix.size()) {}

void OutputDrift::add(std::span<const float> rows, std::span<const float> original_rows) {
  const auto inputs = static_cast<std::size_t>(inputs_);
  QUERN_CHECK(rows.size() % inputs == 0 && rows.size() == original_rows.size(), "{}, {} of {}",
              rows.size(), original_rows.size(), inputs);
  for (std::size_t first = 0; first < rows.size(); first += inputs) {
    const auto row = rows.subspan(first, inputs);
    waiting_.set(num_waiting_, row);
    std::ranges::transform(original_rows.subspan(first, inputs), row,
                           differences_.begin() + num_waiting_ * inputs_, std::minus());
    if (++num_waiting_ == RowBlock::kRows) add_block();
  }
}

void OutputDrift::finish() {
  if (num_waiting_ == 0) return;
  waiting_.clear_from(num_waiting_);
  add_block();
}

void OutputDrift::add_block() {
  constexpr std::int64_t kTile = 64;
  const std::int64_t rows = outputs_.width();
  // Rows of an earlier block that were left meet zeros of `waiting_`.
  const Tensor differences =
      cpu::float_view(differences_.data(), RowBlock::kRows, inputs_, inputs_);
  pool_.parallel_for(ceil_div(rows, kTile), [&](std::int64_t index, int /*thread*/) {
    const std::int64_t first = index * kTile;
    const std::int64_t count = std::min(kTile, rows - first);
    auto* matrix = const_cast<float*>(matrix_.data()) + first * inputs_;  // is read
    cpu::multiply_transposed(cpu::float_view(matrix, count, inputs_, inputs_), differences,
                             outputs_.columns(first, count));
  });
  add_products(outputs_, waiting_, values_, false, pool_);
  num_waiting_ = 0;
}

void OutputDrift::scale(std::span<const float> factors) {
  for (std::size_t at = 0; at < values_.size(); ++at) values_[at] *= factors[at % factors.size()];
}

}  // namespace quern
