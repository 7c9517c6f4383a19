#include "runtime/schedule/beam_scores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "backend/cpu/sample/log_softmax.h"

namespace quern {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kVocab = 60;

TokenLogprobs listed(std::span<const float> row, int count) {
  TokenLogprobs list;
  for (const auto& best : cpu::largest(row, count)) list.top.push_back({best.id, best.score});
  return list;
}

int num_listed(int num_beams, const SamplingRow& processors, std::vector<std::int32_t> eos = {0}) {
  return num_listed_tokens(BeamSearch({num_beams}, 10, std::move(eos)), processors, kVocab);
}

TEST(BeamScores, ListsOneTokenMoreThanCandidates) {
  EXPECT_EQ(num_listed(2, {}), 5);
  EXPECT_EQ(num_listed(4, {}, {0, 1}), 13);
  EXPECT_EQ(num_listed(10, {}), 20);
  EXPECT_EQ(num_listed(11, {}), 0);
  EXPECT_EQ(num_listed(2, {.num_top_logprobs = 3}), 5);
  EXPECT_EQ(num_listed(2, {.num_top_logprobs = 8}), 8);
  EXPECT_EQ(num_listed_tokens(BeamSearch({4}, 10, {0}), {}, 6), 6);
}

TEST(BeamScores, ListsNothingWherePenaltiesRaise) {
  EXPECT_EQ(num_listed(2, {.repetition_penalty = 1.1f}), 20);
  EXPECT_EQ(num_listed(2, {.repetition_penalty = 0.9f}), 0);
  EXPECT_EQ(num_listed(2, {.presence_penalty = 0.1f, .frequency_penalty = 0.1f}), 20);
  EXPECT_EQ(num_listed(2, {.presence_penalty = -0.1f}), 0);
  EXPECT_EQ(num_listed(2, {.frequency_penalty = -0.1f}), 0);
  SamplingRow biased{.num_logit_bias = 2};
  biased.bias_values[0] = -kInfinity;
  EXPECT_EQ(num_listed(2, biased), 20);
  biased.bias_values[1] = 0.5f;
  EXPECT_EQ(num_listed(2, biased), 0);
}

TEST(BeamScores, AListIsProcessedAsItsRow) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(-9.0f, 0.0f);
  SamplingRow processors{.repetition_penalty = 1.3f,
                         .presence_penalty = 0.2f,
                         .frequency_penalty = 0.1f,
                         .no_repeat_ngram_size = 2,
                         .dry_multiplier = 0.5f,
                         .dry_allowed_length = 1,
                         .num_logit_bias = 1};
  processors.bias_ids[0] = 7;
  processors.bias_values[0] = -2.0f;
  std::vector<float> scratch(kVocab, -kInfinity);
  for (int round = 0; round < 50; ++round) {
    std::vector<float> row(kVocab);
    for (float& value : row) value = uniform(random);
    std::vector<std::int32_t> history;
    for (int i = 0; i < 30; ++i) history.push_back(static_cast<std::int32_t>(random() % kVocab));
    const auto generated = std::span(history).last(20);
    const auto raw = listed(row, 20);
    const BestTokens list = process_list(processors, history, generated, raw, scratch);
    EXPECT_EQ(list.bound, raw.top.back().logprob);
    process_log_probs(processors, history, generated, row);
    ASSERT_EQ(list.tokens.size(), 20u);
    for (std::size_t i = 0; i < 20; ++i) {
      EXPECT_EQ(list.tokens[i].id, raw.top[i].id);
      EXPECT_EQ(list.tokens[i].logprob, row[static_cast<std::size_t>(list.tokens[i].id)]);
    }
    EXPECT_TRUE(std::ranges::all_of(scratch, [](float value) { return value == -kInfinity; }));
  }
}

TEST(BeamScores, AListOfAllTokensHasNoBound) {
  std::vector<float> scratch(4, -kInfinity);
  const std::vector<float> row = {-1.0f, -2.0f, -kInfinity, -0.5f};
  EXPECT_FALSE(process_list({}, {}, {}, listed(row, 4), scratch).bound);
  EXPECT_EQ(process_list({}, {}, {}, listed(row, 3), scratch).bound, -2.0f);
}

/// Rows with ties, sums that round to ties, beams that are ruled out: lists give the candidates of
/// the whole rows or none.
TEST(BeamScores, CandidatesOfListsAreThoseOfWholeRows) {
  std::mt19937 random(9);
  int num_chosen = 0, num_open = 0;
  for (int round = 0; round < 400; ++round) {
    const int num_beams = 2 + static_cast<int>(random() % 4);
    const int vocab_size = 3 + static_cast<int>(random() % 40);
    BeamSearch search({num_beams}, 30, {0});
    const float step = round % 3 == 0 ? 0.5f : 1e-6f;
    for (int tokens = 0; tokens < 12 && !search.done(); ++tokens) {
      const int num_rows = tokens == 0 ? 1 : num_beams;
      std::vector<float> rows;
      for (int i = 0; i < num_rows * vocab_size; ++i) {
        const auto below = static_cast<float>(random() % 40);
        rows.push_back(random() % 9 == 0 ? -kInfinity : -30.0f - step * below);
      }
      const auto expected = search.best_candidates(rows, vocab_size);
      const int count = num_listed_tokens(search, {}, vocab_size);
      std::vector<BestTokens> lists;
      for (int i = 0; i < num_rows; ++i) {
        const auto row = std::span(rows).subspan(static_cast<std::size_t>(i * vocab_size),
                                                 static_cast<std::size_t>(vocab_size));
        std::vector<float> scratch(row.size());
        lists.push_back(process_list({}, {}, {}, listed(row, count), scratch));
      }
      const auto chosen = search.best_candidates(lists);
      (chosen ? num_chosen : num_open) += 1;
      if (chosen) {
        ASSERT_EQ(chosen->size(), expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i) {
          EXPECT_EQ((*chosen)[i].beam, expected[i].beam);
          EXPECT_EQ((*chosen)[i].token_id, expected[i].token_id);
          EXPECT_EQ((*chosen)[i].score, expected[i].score);
        }
      }
      search.advance(expected);
    }
  }
  EXPECT_GT(num_chosen, 1000);
  EXPECT_GT(num_open, 100);
}

}  // namespace
}  // namespace quern
