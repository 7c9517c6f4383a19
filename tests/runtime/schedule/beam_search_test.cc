#include "runtime/schedule/beam_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr std::int32_t kEos = 0;

BeamSearchParams params(int num_beams, EarlyStopping stopping = EarlyStopping::off,
                        float length_penalty = 1.0f) {
  return {num_beams, length_penalty, stopping};
}

/// Log-probabilities of one row.
std::vector<float> row(const std::vector<double>& probabilities) {
  std::vector<float> logs;
  for (const double p : probabilities) logs.push_back(static_cast<float>(std::log(p)));
  return logs;
}

void step(BeamSearch& search, const std::vector<std::vector<double>>& rows) {
  std::vector<float> all;
  for (const auto& probabilities : rows) {
    const auto logs = row(probabilities);
    all.insert(all.end(), logs.begin(), logs.end());
  }
  search.advance(search.best_candidates(all, static_cast<int>(rows.front().size())));
}

TEST(BeamSearch, TheFirstStepContinuesOneBeam) {
  BeamSearch search(params(2), 10, {kEos});
  EXPECT_EQ(search.num_candidates(), 4);
  step(search, {{0.1, 0.2, 0.3, 0.4}});
  ASSERT_EQ(search.running().size(), 2u);
  EXPECT_EQ(search.running()[0].token_ids, Ids{3});
  EXPECT_EQ(search.running()[1].token_ids, Ids{2});
  EXPECT_EQ(search.running()[1].parent, 0);
  EXPECT_FLOAT_EQ(search.running()[0].score, std::log(0.4f));
  EXPECT_TRUE(search.finished().empty());
}

TEST(BeamSearch, ABeamMayHaveAllTheContinuations) {
  BeamSearch search(params(2), 10, {});
  step(search, {{0.9, 0.05, 0.05}});
  step(search, {{0.5, 0.4, 0.1}, {0.4, 0.3, 0.3}});
  EXPECT_EQ(search.running()[0].token_ids, (Ids{0, 0}));
  EXPECT_EQ(search.running()[1].token_ids, (Ids{0, 1}));
  EXPECT_EQ(search.running()[0].parent, 0);
  EXPECT_EQ(search.running()[1].parent, 0);
}

TEST(BeamSearch, EosEndsABeamAndTheOthersGoOn) {
  BeamSearch search(params(2), 10, {kEos});
  step(search, {{0.5, 0.3, 0.15, 0.05}});
  ASSERT_EQ(search.finished().size(), 1u);
  EXPECT_EQ(search.finished()[0].token_ids, Ids{kEos});
  EXPECT_EQ(search.running()[0].token_ids, Ids{1});
  EXPECT_EQ(search.running()[1].token_ids, Ids{2});
  EXPECT_FALSE(search.done());
}

TEST(BeamSearch, EarlyStoppingEndsWithAsManyFinishedAsBeams) {
  for (const auto stopping : {EarlyStopping::on, EarlyStopping::never}) {
    BeamSearch search(params(2, stopping), 10, {kEos});
    step(search, {{0.5, 0.3, 0.15, 0.05}});
    step(search, {{0.6, 0.2, 0.1, 0.1}, {0.1, 0.2, 0.3, 0.4}});
    EXPECT_EQ(search.finished().size(), 2u);
    EXPECT_EQ(search.done(), stopping == EarlyStopping::on) << "a longer one might still win";
  }
}

TEST(BeamSearch, EndsWhereNothingCanImprove) {
  BeamSearch search(params(2), 10, {kEos});
  step(search, {{0.5, 0.3, 0.15, 0.05}});
  step(search, {{0.97, 0.01, 0.01, 0.01}, {0.97, 0.01, 0.01, 0.01}});
  EXPECT_EQ(search.finished().size(), 2u);
  EXPECT_TRUE(search.done());
  EXPECT_EQ(search.finished()[0].token_ids, (Ids{1, kEos})) << "the mean of two log-probabilities";
  EXPECT_FLOAT_EQ(search.finished()[0].score, (std::log(0.3f) + std::log(0.97f)) / 2);
}

TEST(BeamSearch, TheLengthPenaltyDecidesBetweenLengths) {
  for (const float penalty : {-1.0f, 0.0f, 1.0f, 2.0f}) {
    BeamSearch search(params(2, EarlyStopping::never, penalty), 2, {kEos});
    step(search, {{0.5, 0.3, 0.15, 0.05}});
    step(search, {{0.5, 0.4, 0.05, 0.05}, {0.25, 0.25, 0.25, 0.25}});
    ASSERT_TRUE(search.done());
    const bool shortest_first = penalty < 2.0f;
    EXPECT_EQ(search.finished()[0].token_ids.size(), shortest_first ? 1u : 2u) << penalty;
  }
}

TEST(BeamSearch, TheLimitFinishesAllBeams) {
  BeamSearch search(params(3), 2, {});
  step(search, {{0.4, 0.3, 0.2, 0.1}});
  EXPECT_FALSE(search.done());
  step(search, {{0.4, 0.3, 0.2, 0.1}, {0.4, 0.3, 0.2, 0.1}, {0.4, 0.3, 0.2, 0.1}});
  EXPECT_TRUE(search.done());
  ASSERT_EQ(search.finished().size(), 3u);
  EXPECT_EQ(search.finished()[0].token_ids, (Ids{0, 0}));
}

TEST(BeamSearch, ManyEosIdsWantManyCandidates) {
  BeamSearch search(params(2), 10, {0, 1, 2});
  EXPECT_EQ(search.num_candidates(), 8);
  step(search, {{0.3, 0.3, 0.2, 0.1, 0.06, 0.04}});
  EXPECT_EQ(search.running()[0].token_ids, Ids{3});
  EXPECT_EQ(search.running()[1].token_ids, Ids{4});
  EXPECT_EQ(search.finished().size(), 2u);
}

TEST(BeamSearch, EqualScoresGoByBeamAndToken) {
  BeamSearch search(params(2), 10, {});
  step(search, {{0.25, 0.25, 0.25, 0.25}});
  EXPECT_EQ(search.running()[0].token_ids, Ids{0});
  EXPECT_EQ(search.running()[1].token_ids, Ids{1});
}

}  // namespace
}  // namespace quern
