#include "backend/cpu/sample/sampling_filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "base/error.h"
#include "tests/backend/conformance/sample/reference_sampling.h"

namespace quern::cpu {
namespace {

using Ids = std::vector<std::int32_t>;

std::vector<Candidate> candidates_of(const std::vector<float>& scores) {
  std::vector<Candidate> result;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    result.push_back({scores[i], static_cast<std::int32_t>(i)});
  }
  return result;
}

Ids sorted_ids(std::span<const Candidate> candidates) {
  Ids ids;
  for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

Ids top_k(const std::vector<float>& scores, std::int32_t k) {
  auto candidates = candidates_of(scores);
  std::vector<float> scratch(candidates.size());
  return sorted_ids(keep_top_k(candidates, k, scratch));
}
Ids top_p(const std::vector<float>& scores, float p) {
  auto candidates = candidates_of(scores);
  return sorted_ids(keep_top_p(candidates, p));
}
Ids min_p(const std::vector<float>& scores, float p) {
  auto candidates = candidates_of(scores);
  return sorted_ids(keep_min_p(candidates, p));
}

/// Logarithms: scores whose softmax is known.
std::vector<float> logs(std::vector<float> probabilities) {
  for (float& p : probabilities) p = std::log(p);
  return probabilities;
}

TEST(SamplingFilter, TopK) {
  EXPECT_EQ(top_k({1, 5, 3, 4, 2}, 1), (Ids{1}));
  EXPECT_EQ(top_k({1, 5, 3, 4, 2}, 3), (Ids{1, 2, 3}));
  EXPECT_EQ(top_k({1, 5, 3, 4, 2}, 5), (Ids{0, 1, 2, 3, 4}));
  EXPECT_EQ(top_k({1, 5, 3, 4, 2}, 50), (Ids{0, 1, 2, 3, 4}));
  EXPECT_EQ(top_k({3, 1, 3, 2, 3}, 2), (Ids{0, 2, 4})) << "ties with the last stay";
  EXPECT_EQ(top_k({2, 1, 3, 2, 3, 2}, 3), (Ids{0, 2, 3, 4, 5}));
}

TEST(SamplingFilter, TopP) {
  const auto scores = logs({0.1f, 0.5f, 0.05f, 0.25f, 0.1f});
  EXPECT_EQ(top_p(scores, 0.4f), (Ids{1}));
  EXPECT_EQ(top_p(scores, 0.6f), (Ids{1, 3}));
  EXPECT_EQ(top_p(scores, 0.8f), (Ids{0, 1, 3})) << "the lower id of two equals";
  EXPECT_EQ(top_p(scores, 0.9f), (Ids{0, 1, 3, 4}));
  EXPECT_EQ(top_p(scores, 0.99f), (Ids{0, 1, 2, 3, 4}));
  EXPECT_EQ(top_p(scores, 1e-6f), (Ids{1})) << "one always stays";
  EXPECT_EQ(top_p({4.0f}, 0.5f), (Ids{0}));
  EXPECT_EQ(top_p({0.0f, 0.0f, 0.0f, 0.0f}, 0.6f), (Ids{0, 1, 2}));
}

TEST(SamplingFilter, MinP) {
  const auto scores = logs({0.1f, 0.5f, 0.04f, 0.26f, 0.1f});
  EXPECT_EQ(min_p(scores, 0.1f), (Ids{0, 1, 3, 4}));
  EXPECT_EQ(min_p(scores, 0.3f), (Ids{1, 3}));
  EXPECT_EQ(min_p(scores, 1.0f), (Ids{1}));
  EXPECT_EQ(min_p({2.0f, 2.0f, 1.0f}, 1.0f), (Ids{0, 1}));
}

TEST(SamplingFilter, AgreesWithTheLiteralProcessorsOnRandomScores) {
  std::mt19937 engine(11);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  for (int round = 0; round < 400; ++round) {
    const auto size = static_cast<std::size_t>(1 + round % 97);
    std::vector<float> scores(size);
    for (float& score : scores) {
      score = round % 2 == 0 ? normal(engine) : std::round(normal(engine));
    }
    const auto expected = [&](const SamplingRow& row) {
      const auto filtered = testing::reference_filtered({scores.begin(), scores.end()}, row);
      Ids ids;
      for (std::size_t i = 0; i < size; ++i) {
        if (std::isfinite(filtered[i])) ids.push_back(static_cast<std::int32_t>(i));
      }
      return ids;
    };
    const int k = 1 + round % 23;
    const float p = 0.013f + static_cast<float>(round % 41) / 42.0f;
    EXPECT_EQ(top_k(scores, k), expected({.temperature = 1.0f, .top_k = k}));
    EXPECT_EQ(top_p(scores, p), expected({.temperature = 1.0f, .top_p = p})) << p;
    EXPECT_EQ(min_p(scores, p), expected({.temperature = 1.0f, .min_p = p})) << p;
  }
}

TEST(SamplingFilter, DrawIgnoresTheOrderOfCandidates) {
  auto candidates = candidates_of({0.3f, 1.0f, -2.0f, 0.5f, 0.9f, 0.2f});
  for (std::uint32_t position = 0; position < 200; ++position) {
    const DrawKey key{42, 1, position};
    const std::int32_t token = draw(candidates, key);
    std::shuffle(candidates.begin(), candidates.end(), std::mt19937(position));
    EXPECT_EQ(draw(candidates, key), token);
  }
}

TEST(SamplingFilter, DrawOfOneAndOfNone) {
  EXPECT_EQ(draw(std::vector<Candidate>{{-50.0f, 7}}, {}), 7);
  EXPECT_THROW(draw({}, {}), Error);
}

TEST(SamplingFilter, Argmax) {
  const float nan = std::nanf("");
  EXPECT_EQ(argmax(std::vector<float>{1.0f, 2.0f, 2.0f}), 1);
  EXPECT_EQ(argmax(std::vector<float>{nan, -3.0f, nan}), 1);
  EXPECT_EQ(argmax(std::vector<float>{nan, -INFINITY}), 0);
  EXPECT_EQ(argmax(std::vector<float>{}), 0);
}

}  // namespace
}  // namespace quern::cpu
