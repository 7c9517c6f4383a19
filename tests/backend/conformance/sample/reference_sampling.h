#pragma once

#include <cstdint>
#include <vector>

#include "graph/step.h"

namespace quern::testing {

// Reference implementation of the logits processors and filters in double precision, literal and
// slow: Hugging Face's, and top-nσ, XTC and DRY as their authors define them.

/// Scores before temperature: penalties, DRY, n-grams, bias.
std::vector<double> reference_processed(const std::vector<float>& logits, const SamplingRow& row,
                                        const std::vector<std::int32_t>& prompt,
                                        const std::vector<std::int32_t>& generated);

/// Scores after temperature and all filters; -inf for filtered tokens. `position`: of the token to
/// choose, which decides with the row's seed whether XTC applies.
std::vector<double> reference_filtered(std::vector<double> scores, const SamplingRow& row,
                                       int position = 0);

/// softmax(scores).
std::vector<double> reference_softmax(const std::vector<double>& scores);

/// The token that a sequence of that length draws from the filtered scores.
std::int32_t reference_draw(const std::vector<double>& scores, const SamplingRow& row,
                            int position);

}  // namespace quern::testing
