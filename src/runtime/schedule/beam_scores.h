#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/step.h"
#include "runtime/schedule/beam_search.h"

namespace quern {

/// Applies a request's penalties and biases to a beam's log-probabilities, as generate() does: to
/// these, not to the logits.
void process_log_probs(const SamplingRow& processors, std::span<const std::int32_t> history,
                       std::span<const std::int32_t> generated, std::span<float> log_probs);

/// How many of each row's best log-probabilities Sample is to list, so that BeamSearch chooses from
/// the lists in nearly all steps, and answers show what they are to show. 0 where lists would not
/// help: more are needed than Sample has room for, or penalties and biases can raise what is not
/// listed.
int num_listed_tokens(const BeamSearch& search, const SamplingRow& processors, int vocab_size);

/// A row's list with the request's penalties and biases. `row`: raw log-probabilities, as Sample
/// lists them; `scratch`: [vocab_size] -inf, before and after.
BestTokens process_list(const SamplingRow& processors, std::span<const std::int32_t> history,
                        std::span<const std::int32_t> generated, const TokenLogprobs& row,
                        std::span<float> scratch);

}  // namespace quern
