#include "runtime/request/generation_rules.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace quern {
namespace {

class RuleWriter {
 public:
  RuleWriter(int vocab_size, SamplingRow& row) : vocab_size_(vocab_size), row_(row) {}

  /// Bans tokens while fewer than `until` are generated; 0: always.
  void ban(std::string_view key, std::span<const std::int32_t> ids, int until) {
    for (const std::int32_t id : ids) {
      if (id >= vocab_size_) continue;
      if (row_.num_logit_bias == kMaxBiases) refuse(key, "tokens", kMaxBiases);
      row_.bias_ids[row_.num_logit_bias] = id;
      row_.bias_values[row_.num_logit_bias] = -std::numeric_limits<float>::infinity();
      row_.bias_until[row_.num_logit_bias++] = until;
    }
  }

  void ban_phrase(std::string_view key, std::span<const std::int32_t> ids) {
    if (ids.size() == 1) return ban(key, ids, 0);
    if (std::any_of(ids.begin(), ids.end(), [&](auto id) { return id >= vocab_size_; })) return;
    const std::int32_t begin =
        row_.num_banned_phrases == 0 ? 0 : row_.banned_phrase_ends[row_.num_banned_phrases - 1];
    if (row_.num_banned_phrases == kMaxBannedPhrases) refuse(key, "lists", kMaxBannedPhrases);
    if (begin + std::ssize(ids) > kMaxBannedPhraseTokens) {
      refuse(key, "tokens of lists", kMaxBannedPhraseTokens);
    }
    std::copy(ids.begin(), ids.end(), row_.banned_phrase_tokens + begin);
    row_.banned_phrase_ends[row_.num_banned_phrases++] =
        begin + static_cast<std::int32_t>(ids.size());
  }

 private:
  [[noreturn]] static void refuse(std::string_view key, std::string_view what, int limit) {
    fail(ErrorCode::unsupported,
         "'{}' of generation_config.json and the request, with its logit_bias: more than {} {}, "
         "expected at most so many",
         key, limit, what);
  }

  int vocab_size_;
  SamplingRow& row_;
};

}  // namespace

void add_generation_rules(const GenerationConfig& generation, int prompt_len,
                          std::span<const std::int32_t> eos_token_ids, int vocab_size,
                          SamplingRow& row) {
  RuleWriter rules(vocab_size, row);
  rules.ban("suppress_tokens", generation.suppress_tokens, 0);
  rules.ban("begin_suppress_tokens", generation.begin_suppress_tokens, 1);
  for (const std::vector<std::int32_t>& word : generation.bad_words_ids) {
    // As generate() does: a list that is an EOS token alone must not keep a text from ending.
    const bool is_eos = word.size() == 1 && std::find(eos_token_ids.begin(), eos_token_ids.end(),
                                                      word.front()) != eos_token_ids.end();
    if (!is_eos) rules.ban_phrase("bad_words_ids", word);
  }
  const int by_length = std::max(generation.min_length.value_or(0) - prompt_len, 0);
  const int min_new_tokens = generation.min_new_tokens.value_or(by_length);
  if (min_new_tokens > 0) rules.ban("min_new_tokens", eos_token_ids, min_new_tokens);
}

std::optional<int> max_new_tokens_of(const GenerationConfig& generation, int prompt_len) {
  if (generation.max_new_tokens || !generation.max_length) return generation.max_new_tokens;
  if (prompt_len >= *generation.max_length) {
    fail(ErrorCode::invalid_argument,
         "the prompt has {} tokens, expected fewer than generation_config.json's max_length, {}; "
         "max_new_tokens goes before it",
         prompt_len, *generation.max_length);
  }
  return *generation.max_length - prompt_len;
}

}  // namespace quern
