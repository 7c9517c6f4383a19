#pragma once

#include <cstdint>
#include <span>

#include "graph/step.h"

namespace quern::cpu {

// The processors that act on one row of scores [vocab_size] before temperature, in this order.

/// Repetition penalty over every id in `history` once: below zero score · penalty, else
/// score / penalty. `logits` are the scores before any change, so that an id that occurs twice is
/// still punished once. Source: Keskar et al. 2019; HF RepetitionPenaltyLogitsProcessor.
void penalize_repetition(std::span<const std::int32_t> history, float penalty,
                         std::span<const float> logits, std::span<float> scores);

/// Subtracts `presence` from each id that was generated and `frequency` times its count.
/// `counts` is scratch [vocab_size]. Source: OpenAI's API, vLLM.
void penalize_generated(std::span<const std::int32_t> generated, float presence, float frequency,
                        std::span<std::int32_t> counts, std::span<float> scores);

/// Makes the ids impossible that would repeat a sequence of ngram_size ids of `history`.
/// Source: HF NoRepeatNGramLogitsProcessor.
void ban_repeated_ngrams(std::span<const std::int32_t> history, int ngram_size,
                         std::span<float> scores);

/// scores[id] += value for each of the sequence's biases.
void add_logit_bias(const SamplingRow& sampling, std::span<float> scores);

/// True when a row asks for any of the above.
bool has_processors(const SamplingRow& sampling);

}  // namespace quern::cpu
