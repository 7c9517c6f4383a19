#include "runtime/schedule/beam_scores.h"

#include <algorithm>
#include <limits>

#include "backend/cpu/sample/logits_processor.h"

namespace quern {
namespace {

/// Whether penalties and biases leave every log-probability, of which none is above 0, or lower it.
bool only_lower(const SamplingRow& processors) {
  const std::span<const float> biases(processors.bias_values, processors.num_logit_bias);
  return processors.repetition_penalty >= 1.0f && processors.presence_penalty >= 0.0f &&
         processors.frequency_penalty >= 0.0f &&
         std::ranges::all_of(biases, [](float bias) { return bias <= 0.0f; });
}

}  // namespace

void process_log_probs(const SamplingRow& processors, std::span<const std::int32_t> history,
                       std::span<const std::int32_t> generated, std::span<float> log_probs) {
  if (!cpu::has_processors(processors)) return;
  if (processors.repetition_penalty != 1.0f) {
    const std::vector<float> unchanged(log_probs.begin(), log_probs.end());
    cpu::penalize_repetition(history, processors.repetition_penalty, unchanged, log_probs);
  }
  if (processors.presence_penalty != 0.0f || processors.frequency_penalty != 0.0f) {
    std::vector<std::int32_t> counts(log_probs.size());
    cpu::penalize_generated(generated, processors.presence_penalty, processors.frequency_penalty,
                            counts, log_probs);
  }
  if (processors.dry_multiplier > 0.0f) {
    std::vector<std::int32_t> lengths(log_probs.size());
    cpu::penalize_repeats(processors, history, lengths, log_probs);
  }
  if (processors.no_repeat_ngram_size > 0) {
    cpu::ban_repeated_ngrams(history, processors.no_repeat_ngram_size, log_probs);
  }
  cpu::ban_phrases(processors, history, log_probs);
  cpu::add_logit_bias(processors, static_cast<std::int32_t>(generated.size()), log_probs);
}

int num_listed_tokens(const BeamSearch& search, const SamplingRow& processors, int vocab_size) {
  const int needed = std::min(search.num_candidates(), vocab_size);
  if (needed > kMaxTopLogprobs || !only_lower(processors)) return 0;
  // One more shows that the others are worse. What penalties and bans rule out needs replacements.
  const int wanted = cpu::has_processors(processors) ? kMaxTopLogprobs : needed + 1;
  return std::min({std::max(wanted, processors.num_top_logprobs), kMaxTopLogprobs, vocab_size});
}

BestTokens process_list(const SamplingRow& processors, std::span<const std::int32_t> history,
                        std::span<const std::int32_t> generated, const TokenLogprobs& row,
                        std::span<float> scratch) {
  BestTokens list{row.top, std::nullopt};
  if (list.tokens.size() < scratch.size()) list.bound = row.top.back().logprob;
  if (!cpu::has_processors(processors)) return list;
  const auto place = [&](const TokenLogprob& token) -> float& {
    return scratch[static_cast<std::size_t>(token.id)];
  };
  for (const TokenLogprob& token : list.tokens) place(token) = token.logprob;
  // What is not listed stays -inf: it can only be lowered.
  process_log_probs(processors, history, generated, scratch);
  for (TokenLogprob& token : list.tokens) {
    token.logprob = place(token);
    place(token) = -std::numeric_limits<float>::infinity();
  }
  return list;
}

}  // namespace quern
