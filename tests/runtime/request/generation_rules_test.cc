#include "runtime/request/generation_rules.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "tests/support/expect_error.h"

namespace quern {
namespace {

constexpr int kVocabSize = 1000;
constexpr int kPromptLen = 10;

SamplingRow rules_of(const GenerationConfig& generation,
                     std::span<const std::int32_t> eos_token_ids = {}) {
  SamplingRow row;
  add_generation_rules(generation, kPromptLen, eos_token_ids, kVocabSize, row);
  return row;
}

/// The banned tokens, each with the number of tokens that ends its ban.
std::map<std::int32_t, std::int32_t> bans(const SamplingRow& row) {
  std::map<std::int32_t, std::int32_t> result;
  for (int i = 0; i < row.num_logit_bias; ++i) {
    EXPECT_EQ(row.bias_values[i], -INFINITY);
    result[row.bias_ids[i]] = row.bias_until[i];
  }
  return result;
}

using Bans = std::map<std::int32_t, std::int32_t>;
constexpr std::int32_t kEosIds[] = {2, 3};

TEST(GenerationRules, NoneByDefault) {
  const SamplingRow row = rules_of({}, kEosIds);
  EXPECT_EQ(row.num_logit_bias, 0);
  EXPECT_EQ(row.num_banned_phrases, 0);
}

TEST(GenerationRules, SuppressedTokens) {
  GenerationConfig generation;
  generation.suppress_tokens = {5, kVocabSize};
  generation.begin_suppress_tokens = {6};
  EXPECT_EQ(bans(rules_of(generation)), (Bans{{5, 0}, {6, 1}}));
}

TEST(GenerationRules, EosTokensBeforeTheLeastLength) {
  GenerationConfig generation;
  generation.min_length = 14;
  EXPECT_EQ(bans(rules_of(generation, kEosIds)), (Bans{{2, 4}, {3, 4}}));
  generation.min_new_tokens = 7;
  EXPECT_EQ(bans(rules_of(generation, kEosIds)), (Bans{{2, 7}, {3, 7}}));
  EXPECT_EQ(bans(rules_of(generation)), Bans{});
  generation = {};
  generation.min_length = kPromptLen;
  EXPECT_EQ(bans(rules_of(generation, kEosIds)), Bans{});
}

TEST(GenerationRules, BadWords) {
  GenerationConfig generation;
  generation.bad_words_ids = {{7}, {2}, {8, 9}, {4, kVocabSize}, {1, 2, 3}};
  const SamplingRow row = rules_of(generation, kEosIds);
  EXPECT_EQ(bans(row), (Bans{{7, 0}}));  // not the EOS token
  ASSERT_EQ(row.num_banned_phrases, 2);
  EXPECT_EQ(row.banned_phrase_ends[0], 2);
  EXPECT_EQ(row.banned_phrase_ends[1], 5);
  const std::int32_t expected[] = {8, 9, 1, 2, 3};
  EXPECT_TRUE(std::equal(std::begin(expected), std::end(expected), row.banned_phrase_tokens));
}

TEST(GenerationRules, RefusesMoreThanARowHolds) {
  GenerationConfig generation;
  generation.suppress_tokens.resize(kMaxBiases + 1);
  std::iota(generation.suppress_tokens.begin(), generation.suppress_tokens.end(), 0);
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"suppress_tokens", "512"}), rules_of(generation));
  generation = {};
  generation.bad_words_ids.assign(kMaxBannedPhrases + 1, {1, 2});
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"bad_words_ids", "128"}), rules_of(generation));
  generation.bad_words_ids = {std::vector<std::int32_t>(kMaxBannedPhraseTokens + 1, 1)};
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"bad_words_ids", "512"}), rules_of(generation));
}

TEST(GenerationRules, NewTokensOfTheLengths) {
  GenerationConfig generation;
  EXPECT_EQ(max_new_tokens_of(generation, kPromptLen), std::nullopt);
  generation.max_length = 12;
  EXPECT_EQ(max_new_tokens_of(generation, kPromptLen), 2);
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"12 tokens", "max_length, 12"}),
                     max_new_tokens_of(generation, 12));
  generation.max_new_tokens = 5;
  EXPECT_EQ(max_new_tokens_of(generation, 12), 5);
}

}  // namespace
}  // namespace quern
