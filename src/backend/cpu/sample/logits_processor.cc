#include "backend/cpu/sample/logits_processor.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace quern::cpu {
namespace {

/// `id` as an index into a row.
std::size_t index_of(std::int32_t id, std::size_t vocab_size) {
  QUERN_CHECK(id >= 0 && static_cast<std::size_t>(id) < vocab_size, "token id {}, vocabulary of {}",
              id, vocab_size);
  return static_cast<std::size_t>(id);
}

}  // namespace

void penalize_repetition(std::span<const std::int32_t> history, float penalty,
                         std::span<const float> logits, std::span<float> scores) {
  for (const std::int32_t id : history) {
    const std::size_t i = index_of(id, scores.size());
    scores[i] = logits[i] < 0.0f ? logits[i] * penalty : logits[i] / penalty;
  }
}

void penalize_generated(std::span<const std::int32_t> generated, float presence, float frequency,
                        std::span<std::int32_t> counts, std::span<float> scores) {
  std::fill(counts.begin(), counts.end(), 0);
  for (const std::int32_t id : generated) ++counts[index_of(id, counts.size())];
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (counts[i] > 0) scores[i] -= presence + frequency * static_cast<float>(counts[i]);
  }
}

void penalize_repeats(const SamplingRow& sampling, std::span<const std::int32_t> history,
                      std::span<std::int32_t> lengths, std::span<float> scores) {
  if (sampling.dry_range > 0) {
    history = history.last(std::min(history.size(), static_cast<std::size_t>(sampling.dry_range)));
  }
  const std::span<const std::int32_t> breakers(sampling.dry_breakers, sampling.num_dry_breakers);
  const auto breaks = [&](std::int32_t id) {
    return std::ranges::find(breakers, id) != breakers.end();
  };
  std::ranges::fill(lengths, 0);
  for (std::size_t next = 1; next < history.size(); ++next) {
    if (breaks(history[next])) continue;
    std::int32_t length = 0;
    for (; length < kMaxDryMatch && std::cmp_less(length, next); ++length) {
      const std::int32_t id = history[next - 1 - length];
      if (id != history[history.size() - 1 - length] || breaks(id)) break;
    }
    std::int32_t& longest = lengths[index_of(history[next], lengths.size())];
    longest = std::max(longest, length);
  }
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (lengths[i] == 0 || lengths[i] < sampling.dry_allowed_length) continue;
    // As kernels multiply, so that scores are bit-identical.
    float penalty = sampling.dry_multiplier;
    for (int k = sampling.dry_allowed_length; k < lengths[i]; ++k) penalty *= sampling.dry_base;
    scores[i] -= penalty;
  }
}

void ban_repeated_ngrams(std::span<const std::int32_t> history, int ngram_size,
                         std::span<float> scores) {
  const auto size = static_cast<std::size_t>(ngram_size);
  if (history.size() < size) return;
  const auto prefix = history.last(size - 1);
  for (std::size_t begin = 0; begin + size <= history.size(); ++begin) {
    if (!std::equal(prefix.begin(), prefix.end(), history.begin() + begin)) continue;
    const std::int32_t next = history[begin + size - 1];
    scores[index_of(next, scores.size())] = -std::numeric_limits<float>::infinity();
  }
}

void ban_phrases(const SamplingRow& sampling, std::span<const std::int32_t> history,
                 std::span<float> scores) {
  const std::int32_t* phrase = sampling.banned_phrase_tokens;
  for (std::int32_t i = 0; i < sampling.num_banned_phrases; ++i) {
    const std::int32_t* end = sampling.banned_phrase_tokens + sampling.banned_phrase_ends[i];
    const std::span<const std::int32_t> earlier(phrase, end - 1);
    phrase = end;
    if (earlier.size() > history.size()) continue;
    const auto latest = history.last(earlier.size());
    if (!std::equal(earlier.begin(), earlier.end(), latest.begin())) continue;
    scores[index_of(*(end - 1), scores.size())] = -std::numeric_limits<float>::infinity();
  }
}

void add_logit_bias(const SamplingRow& sampling, std::int32_t num_generated,
                    std::span<float> scores) {
  for (std::int32_t i = 0; i < sampling.num_logit_bias; ++i) {
    const std::int32_t until = sampling.bias_until[i];
    if (until > 0 && num_generated >= until) continue;
    scores[index_of(sampling.bias_ids[i], scores.size())] += sampling.bias_values[i];
  }
}

bool has_processors(const SamplingRow& sampling) {
  return sampling.repetition_penalty != 1.0f || sampling.presence_penalty != 0.0f ||
         sampling.frequency_penalty != 0.0f || sampling.no_repeat_ngram_size > 0 ||
         sampling.num_banned_phrases > 0 || sampling.num_logit_bias > 0 ||
         sampling.dry_multiplier > 0.0f;
}

}  // namespace quern::cpu
