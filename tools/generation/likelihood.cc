#include "tools/generation/likelihood.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace quern::tools {

bool has_nonfinite(std::span<const float> logits) {
  return std::any_of(logits.begin(), logits.end(),
                     [](float x) { return !(x < std::numeric_limits<float>::infinity()); });
}

double log_sum_exp(std::span<const float> values) {
  const double largest = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (const float value : values) sum += std::exp(static_cast<double>(value) - largest);
  return largest + std::log(sum);
}

std::optional<double> mean_negative_log_likelihood(std::span<const float> logits,
                                                   std::span<const std::int32_t> ids) {
  if (ids.size() < 2) return std::nullopt;
  const std::size_t vocab_size = logits.size() / ids.size();
  double sum = 0;
  for (std::size_t i = 1; i < ids.size(); ++i) {
    const auto row = logits.subspan((i - 1) * vocab_size, vocab_size);
    sum += log_sum_exp(row) - static_cast<double>(row[static_cast<std::size_t>(ids[i])]);
  }
  return sum / static_cast<double>(ids.size() - 1);
}

}  // namespace quern::tools
