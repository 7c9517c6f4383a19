#include "tools/quality/rouge/rouge.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tests/support/test_files.h"

namespace quern::tools::rouge {
namespace {

using Json = nlohmann::json;

enum Kind : std::size_t { rouge1, rouge2, rouge_l, rouge_lsum };

void expect_score(const Score& score, double precision, double recall, double fmeasure,
                  double tolerance) {
  EXPECT_NEAR(score.precision, precision, tolerance);
  EXPECT_NEAR(score.recall, recall, tolerance);
  EXPECT_NEAR(score.fmeasure, fmeasure, tolerance);
}

std::vector<Json> read_lines(const std::filesystem::path& path) {
  std::istringstream lines(testing::read_file(path));
  std::vector<Json> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(Json::parse(line));
  return rows;
}

void expect_rows(const std::vector<Json>& rows, double tolerance) {
  for (const Json& row : rows) {
    const std::string prediction = row["prediction"];
    const std::string reference = row["reference"];
    for (const bool stem : {false, true}) {
      SCOPED_TRACE(std::string(stem ? "stemmed: " : "as it is: ") + prediction);
      const Json& expected = row[stem ? "stem" : "nostem"];
      const Scores scores = score_pair(prediction, reference, stem);
      for (std::size_t kind = 0; kind < kNumRouge; ++kind) {
        SCOPED_TRACE(kRougeNames[kind]);
        const Json& score = expected[kRougeNames[kind]];
        expect_score(scores[kind], score[0], score[1], score[2], tolerance);
      }
    }
  }
}

// Pieces of the fairy tales and texts that are odd, with the scores of rouge_score 0.1.2 in full
// precision. Ours differ by the order of two multiplications at most.
TEST(Rouge, EqualsGooglesOnTalesAndOddTexts) {
  const auto rows =
      read_lines(std::filesystem::path(QUERN_SOURCE_DIR) / "tests/tools/quality/rouge/pairs.jsonl");
  EXPECT_EQ(rows.size(), 37U);
  expect_rows(rows, 1e-15);
}

TEST(Rouge, EqualsGooglesOnNewsSummaries) {
  const auto file = testing::shared_path("rouge/expected_pairs.jsonl");
  QUERN_SKIP_WITHOUT(file);
  const auto rows = read_lines(file);
  EXPECT_EQ(rows.size(), 300U);
  expect_rows(rows, 1e-8);
}

TEST(Rouge, HoldsTheOfficialCases) {
  expect_score(score_pair("testing", "testing one two", false)[rouge1], 1, 1.0 / 3, 0.5, 1e-15);
  expect_score(score_pair("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5", false)[rouge_lsum],
               0.4, 0.8, 8.0 / 15, 1e-15);
  const auto folder = testing::shared_path("rouge/google-testdata");
  QUERN_SKIP_WITHOUT(folder);
  // The table gives five places.
  constexpr double kPlaces = 0.5e-5;
  const auto lines = [&](const char* name) {
    std::istringstream stream(testing::read_file(folder / name));
    std::vector<std::string> texts;
    for (std::string line; std::getline(stream, line);) texts.push_back(line);
    return texts;
  };
  const auto predictions = lines("prediction.txt");
  const auto targets = lines("target.txt");
  const Scores first = score_pair(predictions.at(0), targets.at(0), false);
  expect_score(first[rouge1], .68750, .40741, .51163, kPlaces);
  expect_score(first[rouge2], .53333, .30769, .39024, kPlaces);
  expect_score(first[rouge_l], .68750, .40741, .51163, kPlaces);
  const Scores second = score_pair(predictions.at(1), targets.at(1), false);
  expect_score(second[rouge1], .65385, .40476, .50000, kPlaces);
  expect_score(second[rouge2], .48000, .29268, .36364, kPlaces);
  expect_score(second[rouge_l], .65385, .40476, .50000, kPlaces);
  expect_score(score_pair(predictions.at(1), targets.at(1), true)[rouge1], .69231, .42857, .52941,
               kPlaces);
  expect_score(score_pair(testing::read_file(folder / "prediction_multi.0.txt"),
                          testing::read_file(folder / "target_multi.0.txt"), true)[rouge_lsum],
               .66667, .36538, .47205, kPlaces);
}

TEST(Rouge, SummarizesByTheMeanAndItsInterval) {
  const std::vector<Scores> pairs = {score_pair("a b", "a b", false), score_pair("a b", "c", false),
                                     score_pair("a", "a b", false)};
  const auto summaries = summarize_scores(pairs);
  expect_score(summaries[rouge1].mean, 2.0 / 3, 0.5, 5.0 / 9, 1e-15);
  EXPECT_EQ(summaries[rouge1].fmeasure.low, 0);
  EXPECT_EQ(summaries[rouge1].fmeasure.high, 1);
  expect_score(summaries[rouge2].mean, 1.0 / 3, 1.0 / 3, 1.0 / 3, 1e-15);
  EXPECT_EQ(fmeasures(pairs, rouge2), (std::vector<double>{1, 0, 0}));
  EXPECT_EQ(summarize_scores({})[rouge1].mean.fmeasure, 0);
}

}  // namespace
}  // namespace quern::tools::rouge
