#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace quern::tools {

/// What to try where logits are not finite.
inline constexpr const char* kNonfiniteHint = "float16 overflow? try bfloat16";

/// Whether one of the logits is NaN or +inf, so that nothing can be said of their probabilities.
bool has_nonfinite(std::span<const float> logits);

/// log(Σ exp(values)) in double precision, without overflow; NaN for values with NaN or +inf.
/// `values` is not empty.
double log_sum_exp(std::span<const float> values);

/// How unlikely a model finds its own prompt: the mean over positions 1 … n - 1 of -log
/// softmax(logits[i - 1])[ids[i]], in nats and double precision. Nothing for fewer than two ids.
/// Its exponential is the perplexity. Shapes: logits [ids.size(), vocab_size] row-major; ids in [0,
/// vocab_size).
std::optional<double> mean_negative_log_likelihood(std::span<const float> logits,
                                                   std::span<const std::int32_t> ids);

}  // namespace quern::tools
