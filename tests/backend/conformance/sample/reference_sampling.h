#pragma once

#include <cstdint>
#include <vector>

#include "graph/step.h"

namespace quern::testing {

// Reference implementation of Hugging Face's logits processors and warpers, literal and slow.

/// Scores before temperature: penalties, n-grams, bias.
std::vector<double> reference_processed(const std::vector<float>& logits, const SamplingRow& row,
                                        const std::vector<std::int32_t>& prompt,
                                        const std::vector<std::int32_t>& generated);

/// Scores after temperature, top-k, top-p and min-p; -inf for filtered tokens.
std::vector<double> reference_filtered(std::vector<double> scores, const SamplingRow& row);

/// softmax(scores).
std::vector<double> reference_softmax(const std::vector<double>& scores);

/// The token that a sequence of that length draws from the filtered scores.
std::int32_t reference_draw(const std::vector<double>& scores, const SamplingRow& row,
                            int position);

}  // namespace quern::testing
