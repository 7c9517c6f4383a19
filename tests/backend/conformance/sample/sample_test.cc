#include <cmath>

#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/sample/reference_sampling.h"
#include "tests/backend/conformance/sample/sampler.h"

namespace quern::testing {
namespace {

class SampleConformance : public BackendTest {
 protected:
  std::int32_t sample_one(const std::vector<float>& logits, const SamplingRow& row) {
    Sampler sampler(*backend_, prefills(1), std::ssize(logits), logits);
    sampler.harness.set_sampling(0, row);
    return sampler.run()[0];
  }
};

TEST_P(SampleConformance, GreedyTakesTheLargestAndTheLowestOnATie) {
  EXPECT_EQ(sample_one({1.0f, 3.0f, 2.0f}, {}), 1);
  EXPECT_EQ(sample_one({1.0f, 3.0f, 3.0f}, {}), 1);
  EXPECT_EQ(sample_one({2.0f, 2.0f, 2.0f}, {}), 0);
  EXPECT_EQ(sample_one({-kInfinity, -5.0f, -5.0f}, {}), 1);
  EXPECT_EQ(sample_one({7.0f}, {}), 0);
}

TEST_P(SampleConformance, TinyTemperatureIsArgmax) {
  EXPECT_EQ(sample_one({1e5f, 3e5f, 2e5f}, {.temperature = 1e-36f}), 1);
  EXPECT_EQ(sample_one({-3e5f, -1e5f}, {.temperature = 1e-36f}), 1);
}

TEST_P(SampleConformance, FinishedSequencesAreLeftAlone) {
  Sampler sampler(*backend_,
                  {{.past = 1, .decode = true},
                   {.past = 1, .decode = true, .status = SequenceStatus::stop},
                   {.q_len = 2, .wants_logits = false},
                   {.q_len = 1}},
                  2, {0.0f, 1.0f, 0.0f, 1.0f, 1.0f, 0.0f});
  EXPECT_EQ(sampler.run(), (std::vector<std::int32_t>{1, 5, 5, 0}));
}

TEST_P(SampleConformance, NoLogitRows) {
  Sampler sampler(*backend_, {{.q_len = 2, .wants_logits = false}}, 3, {});
  EXPECT_EQ(sampler.run(), (std::vector<std::int32_t>{5}));
}

TEST_P(SampleConformance, DrawsAsSpecifiedOnRandomLogits) {
  constexpr int kVocab = 57;
  constexpr int kSeqs = 24;
  for (std::size_t setting = 0; setting < sampling_settings().size(); ++setting) {
    SCOPED_TRACE(::testing::Message() << "setting " << setting);
    auto logits = random_floats(kSeqs * kVocab, static_cast<std::uint32_t>(setting));
    for (float& logit : logits) logit = std::round(logit * 8.0f) / 4.0f;  // with ties
    Sampler sampler(*backend_, prefills(kSeqs), kVocab, logits);
    std::vector<std::int32_t> expected;
    for (int seq = 0; seq < kSeqs; ++seq) {
      SamplingRow row = sampling_settings()[setting];
      row.seed = 0x123456789abcull + static_cast<std::uint64_t>(seq);
      row.sequence_index = static_cast<std::uint32_t>(seq % 3);
      row.num_logit_bias = 2;
      row.bias_ids[0] = 3;
      row.bias_values[0] = 1.25f;
      row.bias_ids[1] = kVocab - 1;
      row.bias_values[1] = -2.0f;
      std::vector<std::int32_t> prompt, generated;
      for (int i = 0; i < seq; ++i) (i % 3 == 0 ? prompt : generated).push_back(i * i % 9);
      sampler.harness.set_sampling(seq, row);
      sampler.set_history(seq, prompt, generated);

      const auto begin = logits.begin() + seq * kVocab;
      const auto scores = reference_filtered(
          reference_processed({begin, begin + kVocab}, row, prompt, generated), row, seq);
      expected.push_back(reference_draw(scores, row, seq));
    }
    EXPECT_EQ(sampler.run(), expected);
  }
}

/// The probability of each token, over all draws.
std::vector<double> mixed_probabilities(const std::vector<double>& processed, SamplingRow row) {
  const double share = row.xtc_probability;
  row.xtc_probability = 0.0f;
  std::vector<double> mixed = reference_softmax(reference_filtered(processed, row));
  if (share == 0.0) return mixed;
  row.xtc_probability = 1.0f;
  const auto excluded = reference_softmax(reference_filtered(processed, row));
  for (std::size_t id = 0; id < mixed.size(); ++id) {
    mixed[id] += share * (excluded[id] - mixed[id]);
  }
  return mixed;
}

/// The chi-square value that a true distribution exceeds once in 100000 times
/// (Wilson and Hilferty's approximation).
double chi_square_limit(int degrees_of_freedom) {
  constexpr double kNormalQuantile = 4.265;
  const double k = degrees_of_freedom;
  const double root = 1.0 - 2.0 / (9.0 * k) + kNormalQuantile * std::sqrt(2.0 / (9.0 * k));
  return k * root * root * root;
}

TEST_P(SampleConformance, TwentyThousandDrawsFollowTheSoftmax) {
  constexpr int kDraws = 20000;
  constexpr int kSeqs = 50;
  constexpr int kVocab = 40;
  const auto logits = random_floats(kVocab, 77);
  const std::vector<std::int32_t> prompt = {1, 2, 3, 1};
  std::vector<float> rows;
  for (int seq = 0; seq < kSeqs; ++seq) rows.insert(rows.end(), logits.begin(), logits.end());

  for (std::size_t setting = 0; setting < sampling_settings().size(); ++setting) {
    SCOPED_TRACE(::testing::Message() << "setting " << setting);
    Sampler sampler(*backend_, prefills(kSeqs), kVocab, rows);
    std::vector<int> counts(kVocab);
    for (int seq = 0; seq < kSeqs; ++seq) sampler.set_history(seq, prompt, {});
    SamplingRow row = sampling_settings()[setting];
    for (int draw = 0; draw < kDraws; draw += kSeqs) {
      for (int seq = 0; seq < kSeqs; ++seq) {
        row.seed = static_cast<std::uint64_t>(draw / kSeqs % 20);
        row.sequence_index = static_cast<std::uint32_t>(draw / kSeqs / 20 * kSeqs + seq);
        sampler.harness.set_sampling(seq, row);
      }
      for (const std::int32_t id : sampler.run()) ++counts[static_cast<std::size_t>(id)];
    }
    const auto probabilities =
        mixed_probabilities(reference_processed(logits, row, prompt, {}), row);
    double chi_square = 0.0;
    int cells = 0;
    double rare_expected = 0.0;
    int rare_count = 0;
    for (std::size_t id = 0; id < probabilities.size(); ++id) {
      const double expected = probabilities[id] * kDraws;
      if (expected == 0.0) {
        EXPECT_EQ(counts[id], 0) << "id " << id << " was filtered out";
      } else if (expected < 5.0) {  // too rare for a cell of its own
        rare_expected += expected;
        rare_count += counts[id];
      } else {
        chi_square += (counts[id] - expected) * (counts[id] - expected) / expected;
        ++cells;
      }
    }
    if (rare_expected > 0.0) {
      chi_square += std::pow(rare_count - rare_expected, 2.0) / std::max(rare_expected, 1.0);
      ++cells;
    }
    if (cells > 1) {
      EXPECT_LT(chi_square, chi_square_limit(cells - 1)) << cells << " cells";
    }
  }
}

TEST_P(SampleConformance, LogprobsOfRawLogits) {
  const std::vector<float> logits = {0.5f, 2.0f, -1.0f, 2.0f, -kInfinity};
  Sampler sampler(*backend_, prefills(3), 5,
                  {0.5f, 2.0f, -1.0f, 2.0f, -kInfinity, 0.5f, 2.0f, -1.0f, 2.0f, -kInfinity, 0.5f,
                   2.0f, -1.0f, 2.0f, -kInfinity});
  // The bias changes the choice, not the log-probabilities.
  SamplingRow row{.num_top_logprobs = 3, .num_logit_bias = 1};
  row.bias_ids[0] = 0;
  row.bias_values[0] = 9.0f;
  sampler.harness.set_sampling(0, row);
  row.num_top_logprobs = 7;
  sampler.harness.set_sampling(1, row);
  row.num_top_logprobs = -1;
  sampler.harness.set_sampling(2, row);
  const OutputRing& ring = sampler.harness.step().ring;
  sampler.harness.poke(ring.head, 0, std::int64_t{4});  // row 1 of 3
  EXPECT_EQ(sampler.run(), (std::vector<std::int32_t>{0, 0, 0}));

  const double sum = std::log(std::exp(0.5) + 2 * std::exp(2.0) + std::exp(-1.0));
  const auto logprobs = sampler.harness.read_array(ring.logprobs, 9);
  const auto ids = sampler.harness.read_array(ring.top_ids, 9 * kMaxTopLogprobs);
  const auto tops = sampler.harness.read_array(ring.top_logprobs, 9 * kMaxTopLogprobs);
  const auto cell = [&](int seq) {
    return static_cast<std::size_t>(3 + sampler.harness.state_row(seq));
  };
  EXPECT_NEAR(logprobs[cell(0)], 0.5 - sum, 1e-6);
  EXPECT_NEAR(logprobs[cell(1)], 0.5 - sum, 1e-6);
  EXPECT_EQ(logprobs[cell(2)], -9.0f) << "not asked for";
  EXPECT_EQ(logprobs[0], -9.0f) << "another step's row";
  const std::vector<std::int32_t> order = {1, 3, 0, 2, 4, -1, -1};
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(ids[cell(1) * kMaxTopLogprobs + i], order[i]);
    const double expected = i < 5 ? logits[static_cast<std::size_t>(order[i])] - sum : -kInfinity;
    if (i < 4) {
      EXPECT_NEAR(tops[cell(1) * kMaxTopLogprobs + i], expected, 1e-6);
    } else {
      EXPECT_EQ(tops[cell(1) * kMaxTopLogprobs + i], -kInfinity);
    }
    EXPECT_EQ(ids[cell(0) * kMaxTopLogprobs + i], i < 3 ? order[i] : -9);
    EXPECT_EQ(ids[cell(2) * kMaxTopLogprobs + i], -9);
  }
}

TEST_P(SampleConformance, LargeVocabulary) {
  constexpr int kVocab = 151936;
  const auto logits = random_floats(kVocab, 5);
  for (SamplingRow row : sampling_settings()) {
    row.num_top_logprobs = 5;
    row.seed = 3;
    const auto scores = reference_filtered(reference_processed(logits, row, {}, {}), row);
    EXPECT_EQ(sample_one(logits, row), reference_draw(scores, row, 0));
  }
}

QUERN_INSTANTIATE(SampleConformance);

}  // namespace
}  // namespace quern::testing
