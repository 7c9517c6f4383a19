#include "tools/quality/perplexity/divergence.h"

#include <algorithm>
#include <cmath>

#include "tools/cli/fail.h"
#include "tools/generation/likelihood.h"

namespace quern::tools {

Divergence divergence(std::span<const float> reference, std::span<const float> logits) {
  if (reference.size() != logits.size()) {
    fail(ErrorCode::internal, "divergence: expected {} logits, got {}", reference.size(),
         logits.size());
  }
  const auto top = std::max_element(reference.begin(), reference.end());
  const double largest = *top;
  double weight_sum = 0;
  double weighted_difference = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double value = reference[i];
    const double weight = std::exp(value - largest);
    if (weight == 0) continue;  // 0 log 0 = 0, but 0 · infinity is NaN; a NaN weight is not 0
    weight_sum += weight;
    weighted_difference += weight * (value - static_cast<double>(logits[i]));
  }
  const double reference_norm = largest + std::log(weight_sum);
  const double kl = weighted_difference / weight_sum + log_sum_exp(logits) - reference_norm;
  const auto other_top = std::max_element(logits.begin(), logits.end());
  // Rounding can take a difference of 0 below it; std::max would hide a NaN.
  const bool same_top = top - reference.begin() == other_top - logits.begin();
  return {kl < 0 ? 0 : kl, same_top && !std::isnan(kl)};
}

}  // namespace quern::tools
