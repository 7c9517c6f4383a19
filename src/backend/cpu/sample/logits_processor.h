#pragma once

#include <cstdint>
#include <span>

#include "graph/step.h"

namespace quern::cpu {

// Logits processors of one row of scores [vocab_size] before temperature, in order of application.

/// Repetition penalty over every distinct id in `history`: below zero score · penalty, else score /
/// penalty. `logits` are the unmodified scores, so that an id that occurs twice is penalized once.
/// Source: Keskar et al. 2019; HF RepetitionPenaltyLogitsProcessor.
void penalize_repetition(std::span<const std::int32_t> history, float penalty,
                         std::span<const float> logits, std::span<float> scores);

/// Subtracts `presence` from each generated id and `frequency` times its count. `counts` is scratch
/// [vocab_size]. Source: OpenAI's API, vLLM.
void penalize_generated(std::span<const std::int32_t> generated, float presence, float frequency,
                        std::span<std::int32_t> counts, std::span<float> scores);

/// DRY: subtracts multiplier · base ^ (length - dry_allowed_length) from an id that would go on
/// with a repetition of at least dry_allowed_length tokens, the last ones of the history and of an
/// earlier place; sequence breakers end it, and lengths count up to kMaxDryMatch. `lengths` is
/// scratch [vocab_size]. Source: text-generation-webui (p-e-w).
void penalize_repeats(const SamplingRow& sampling, std::span<const std::int32_t> history,
                      std::span<std::int32_t> lengths, std::span<float> scores);

/// Bans ids that would repeat an n-gram of ngram_size ids of `history`. Source: HF
/// NoRepeatNGramLogitsProcessor.
void ban_repeated_ngrams(std::span<const std::int32_t> history, int ngram_size,
                         std::span<float> scores);

/// scores[id] += value for each of the sequence's biases that counts after so many tokens.
void add_logit_bias(const SamplingRow& sampling, std::int32_t num_generated,
                    std::span<float> scores);

/// Rules out the last token of each phrase whose others end the history.
void ban_phrases(const SamplingRow& sampling, std::span<const std::int32_t> history,
                 std::span<float> scores);

/// True when a row uses any of the above.
bool has_processors(const SamplingRow& sampling);

}  // namespace quern::cpu
