#include "backend/cpu/sample/sampling_filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
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

Ids top_n_sigma(const std::vector<float>& scores, float n) {
  auto candidates = candidates_of(scores);
  return sorted_ids(keep_top_n_sigma(candidates, n));
}
Ids exclude_top(const std::vector<float>& scores, float threshold) {
  auto candidates = candidates_of(scores);
  return sorted_ids(exclude_top_choices(candidates, threshold));
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

TEST(SamplingFilter, TopNSigma) {
  // Mean 3, standard deviation √2.
  EXPECT_EQ(top_n_sigma({1, 2, 3, 4, 5}, 0.5f), (Ids{4}));
  EXPECT_EQ(top_n_sigma({1, 2, 3, 4, 5}, 1.0f), (Ids{3, 4}));
  EXPECT_EQ(top_n_sigma({1, 2, 3, 4, 5}, 1.42f), (Ids{2, 3, 4}));
  EXPECT_EQ(top_n_sigma({1, 2, 3, 4, 5}, 3.0f), (Ids{0, 1, 2, 3, 4}));
  EXPECT_EQ(top_n_sigma({2, 2, 2}, 0.1f), (Ids{0, 1, 2})) << "no deviation";
}

TEST(SamplingFilter, ExcludeTopChoices) {
  const auto scores = logs({0.1f, 0.4f, 0.05f, 0.25f, 0.2f});
  EXPECT_EQ(exclude_top(scores, 0.22f), (Ids{0, 2, 3, 4}));
  EXPECT_EQ(exclude_top(scores, 0.15f), (Ids{0, 2, 4}));
  EXPECT_EQ(exclude_top(scores, 0.3f), (Ids{0, 1, 2, 3, 4})) << "a single one stays";
  EXPECT_EQ(exclude_top(scores, 0.5f), (Ids{0, 1, 2, 3, 4}));
  EXPECT_EQ(exclude_top(scores, 0.0f), (Ids{2})) << "all reach it";
  EXPECT_EQ(exclude_top(logs({0.3f, 0.3f, 0.4f}), 0.25f), (Ids{1})) << "the highest id of equals";
}

/// What transformers' warpers leave (tests/golden/make_warpers.py).
nlohmann::json warper_cases() {
  std::ifstream stream(std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden/warpers.json");
  return nlohmann::json::parse(stream);
}

SamplingRow row_of(const nlohmann::json& setting) {
  SamplingRow row;
  row.temperature = setting.value("temperature", 1.0f);
  row.top_k = setting.value("top_k", 0);
  row.top_p = setting.value("top_p", 1.0f);
  row.min_p = setting.value("min_p", 0.0f);
  row.typical_p = setting.value("typical_p", 1.0f);
  row.epsilon_cutoff = setting.value("epsilon_cutoff", 0.0f);
  row.eta_cutoff = setting.value("eta_cutoff", 0.0f);
  return row;
}

Ids filtered(const std::vector<float>& logits, const SamplingRow& row) {
  std::vector<Candidate> all;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float score = logits[i] / row.temperature;
    if (std::isfinite(score)) all.push_back({score, static_cast<std::int32_t>(i)});
  }
  std::span<Candidate> left = all;
  std::vector<float> scratch(all.size());
  if (row.top_k > 0) left = keep_top_k(left, row.top_k, scratch);
  if (row.top_p < 1.0f) left = keep_top_p(left, row.top_p);
  if (row.min_p > 0.0f) left = keep_min_p(left, row.min_p);
  if (row.typical_p < 1.0f) left = keep_typical(left, row.typical_p);
  if (row.epsilon_cutoff > 0.0f) left = keep_epsilon(left, row.epsilon_cutoff);
  if (row.eta_cutoff > 0.0f) left = keep_eta(left, row.eta_cutoff);
  return sorted_ids(left);
}

TEST(SamplingFilter, LeavesWhatTransformersLeaves) {
  const auto cases = warper_cases();
  std::vector<std::vector<float>> rows;
  for (const auto& row : cases["rows"]) {
    rows.emplace_back();
    for (const auto& logit : row) {
      rows.back().push_back(logit.is_null() ? -std::numeric_limits<float>::infinity()
                                            : logit.get<float>());
    }
  }
  ASSERT_GT(cases["cases"].size(), 100u);
  for (const auto& expected : cases["cases"]) {
    SCOPED_TRACE(expected.dump());
    const std::vector<float>& logits = rows.at(expected["row"].get<std::size_t>());
    const SamplingRow row = row_of(expected);
    EXPECT_EQ(filtered(logits, row), expected["kept"].get<Ids>());
    // The reference of the conformance tests, too.
    const auto scores =
        testing::reference_filtered(std::vector<double>(logits.begin(), logits.end()), row);
    Ids kept;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (std::isfinite(scores[i])) kept.push_back(static_cast<std::int32_t>(i));
    }
    EXPECT_EQ(kept, expected["kept"].get<Ids>());
  }
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
