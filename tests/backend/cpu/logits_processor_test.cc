#include "backend/cpu/sample/logits_processor.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "base/error.h"

namespace quern::cpu {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
using Ids = std::vector<std::int32_t>;
using Scores = std::vector<float>;

TEST(LogitsProcessor, RepetitionPunishesEachIdOnce) {
  const Scores logits = {2.0f, -2.0f, 3.0f, 0.0f, -1.0f};
  Scores scores = logits;
  penalize_repetition(Ids{0, 1, 0, 3, 1, 0}, 2.0f, logits, scores);
  EXPECT_EQ(scores, (Scores{1.0f, -4.0f, 3.0f, 0.0f, -1.0f}));
}

TEST(LogitsProcessor, RepetitionBelowOneRewards) {
  const Scores logits = {2.0f, -2.0f};
  Scores scores = logits;
  penalize_repetition(Ids{0, 1}, 0.5f, logits, scores);
  EXPECT_EQ(scores, (Scores{4.0f, -1.0f}));
}

TEST(LogitsProcessor, PresenceAndFrequency) {
  Scores scores = {1.0f, 1.0f, 1.0f, 1.0f};
  Ids counts(4, 99);  // scratch: what it holds does not matter
  penalize_generated(Ids{3, 1, 3, 3}, 0.5f, 0.25f, counts, scores);
  EXPECT_EQ(scores, (Scores{1.0f, 0.25f, 1.0f, -0.25f}));
}

TEST(LogitsProcessor, NothingGeneratedNothingPunished) {
  Scores scores = {1.0f, 2.0f};
  Ids counts(2);
  penalize_generated(Ids{}, 5.0f, 5.0f, counts, scores);
  EXPECT_EQ(scores, (Scores{1.0f, 2.0f}));
}

TEST(LogitsProcessor, NgramsThatWouldRepeatAreBanned) {
  const auto banned = [](const Ids& history, int size) {
    Scores scores(6, 0.0f);
    ban_repeated_ngrams(history, size, scores);
    Ids ids;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (scores[i] == kLowest) ids.push_back(static_cast<std::int32_t>(i));
    }
    return ids;
  };
  EXPECT_EQ(banned({1, 2, 3, 1, 2}, 3), Ids{3});
  EXPECT_EQ(banned({1, 2, 3, 1, 2, 4, 1, 2}, 3), (Ids{3, 4}));
  EXPECT_EQ(banned({1, 2, 3, 1, 2}, 2), Ids{3});
  EXPECT_EQ(banned({5, 5, 5}, 2), Ids{5});
  EXPECT_EQ(banned({1, 2, 1}, 1), (Ids{1, 2}));
  EXPECT_EQ(banned({1, 2, 3}, 3), Ids{});
  EXPECT_EQ(banned({1, 2}, 3), Ids{});
  EXPECT_EQ(banned({1, 2}, 5), Ids{});
  EXPECT_EQ(banned({}, 1), Ids{});
}

TEST(LogitsProcessor, BiasAdds) {
  SamplingRow sampling;
  sampling.num_logit_bias = 2;
  sampling.bias_ids[0] = 1;
  sampling.bias_values[0] = 2.5f;
  sampling.bias_ids[1] = 0;
  sampling.bias_values[1] = kLowest;
  Scores scores = {1.0f, 1.0f, 1.0f};
  add_logit_bias(sampling, 0, scores);
  EXPECT_EQ(scores, (Scores{kLowest, 3.5f, 1.0f}));
}

TEST(LogitsProcessor, BiasEndsAfterItsTokens) {
  SamplingRow sampling;
  sampling.num_logit_bias = 2;
  sampling.bias_ids[0] = 1;
  sampling.bias_values[0] = kLowest;
  sampling.bias_until[0] = 2;
  sampling.bias_ids[1] = 2;
  sampling.bias_values[1] = 1.0f;
  for (const auto& [num_generated, second] : {std::pair{1, kLowest}, std::pair{2, 1.0f}}) {
    Scores scores = {1.0f, 1.0f, 1.0f};
    add_logit_bias(sampling, num_generated, scores);
    EXPECT_EQ(scores, (Scores{1.0f, second, 2.0f}));
  }
}

TEST(LogitsProcessor, BansPhrases) {
  SamplingRow sampling;
  sampling.num_banned_phrases = 2;
  const Ids phrases = {0, 1, 1, 2, 0};  // 0 1 and 1 2 0
  std::copy(phrases.begin(), phrases.end(), sampling.banned_phrase_tokens);
  sampling.banned_phrase_ends[0] = 2;
  sampling.banned_phrase_ends[1] = 5;
  const auto scores_after = [&](const Ids& history) {
    Scores scores = {1.0f, 1.0f, 1.0f};
    ban_phrases(sampling, history, scores);
    return scores;
  };
  EXPECT_EQ(scores_after({2, 0}), (Scores{1.0f, kLowest, 1.0f}));
  EXPECT_EQ(scores_after({0, 1, 2}), (Scores{kLowest, 1.0f, 1.0f}));
  EXPECT_EQ(scores_after({2}), (Scores{1.0f, 1.0f, 1.0f}));
  EXPECT_EQ(scores_after({}), (Scores{1.0f, 1.0f, 1.0f}));
}

TEST(LogitsProcessor, IdsOutsideTheVocabularyAreABug) {
  Scores scores(3);
  Ids counts(3);
  for (const std::int32_t id : {-1, 3}) {
    EXPECT_THROW(penalize_repetition(Ids{id}, 2.0f, scores, scores), Error);
    EXPECT_THROW(penalize_generated(Ids{id}, 1.0f, 0.0f, counts, scores), Error);
    EXPECT_THROW(ban_repeated_ngrams(Ids{id}, 1, scores), Error);
    SamplingRow sampling;
    sampling.num_logit_bias = 1;
    sampling.bias_ids[0] = id;
    EXPECT_THROW(add_logit_bias(sampling, 0, scores), Error);
  }
}

TEST(LogitsProcessor, KnowsWhetherARowAsksForAny) {
  EXPECT_FALSE(has_processors({}));
  EXPECT_FALSE(has_processors({.temperature = 2.0f, .top_p = 0.5f, .top_k = 3}));
  EXPECT_TRUE(has_processors({.repetition_penalty = 1.1f}));
  EXPECT_TRUE(has_processors({.presence_penalty = -0.1f}));
  EXPECT_TRUE(has_processors({.frequency_penalty = 0.1f}));
  EXPECT_TRUE(has_processors({.no_repeat_ngram_size = 2}));
  EXPECT_TRUE(has_processors({.num_logit_bias = 1}));
  EXPECT_TRUE(has_processors({.num_banned_phrases = 1}));
}

}  // namespace
}  // namespace quern::cpu
