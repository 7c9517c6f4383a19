#include "quantize/rounding/smoothing.h"

#include <algorithm>
#include <cmath>

#include "base/half.h"

namespace quern {

std::vector<float> smoothing_factors(std::span<const float> largest_inputs,
                                     std::span<const float> weight, float strength) {
  const std::size_t inputs = largest_inputs.size();
  std::vector<float> largest_weights(inputs);
  for (std::size_t at = 0; at < weight.size(); ++at) {
    float& largest = largest_weights[at % inputs];
    largest = std::max(largest, std::fabs(weight[at]));
  }
  std::vector<float> factors(inputs, 1.0f);
  for (std::size_t i = 0; i < inputs; ++i) {
    if (largest_inputs[i] == 0.0f || largest_weights[i] == 0.0f) continue;
    factors[i] =
        std::pow(largest_inputs[i], strength) / std::pow(largest_weights[i], 1.0f - strength);
  }
  return factors;
}

std::vector<float> fold_into_norm(std::span<const float> factors, DType gain_dtype,
                                  std::span<float> gain, DType bias_dtype, std::span<float> bias) {
  std::vector<float> applied(factors.size(), 1.0f);
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const float folded = round_to(gain_dtype, gain[i] / factors[i]);
    const float exact = gain[i] / folded;
    if (gain[i] == 0.0f || folded == 0.0f || !std::isfinite(folded) || !std::isfinite(exact))
      continue;
    applied[i] = exact;
    gain[i] = folded;
    if (!bias.empty()) bias[i] = round_to(bias_dtype, bias[i] / exact);
  }
  return applied;
}

}  // namespace quern
