// Rows for which Sample cannot choose a token: their errors, and that other rows are unaffected.
#include <cmath>
#include <limits>

#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/sample/sampler.h"

namespace quern::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr auto kNonfinite = static_cast<std::int32_t>(SampleError::nonfinite_logits);
constexpr auto kNoToken = static_cast<std::int32_t>(SampleError::no_token);

/// More than one slice on every backend: 2 · 2048 and a rest that fills no word.
constexpr int kNumIds = 4133;

/// All ways to choose: argmax, draw, each filter, with and without processors.
std::vector<SamplingRow> all_settings() {
  std::vector<SamplingRow> settings = sampling_settings();
  settings.push_back({});
  settings.push_back({.repetition_penalty = 1.3f, .num_top_logprobs = 3});
  settings.push_back({.temperature = 1e-36f});
  return settings;
}

class SampleErrorsConformance : public BackendTest {
 protected:
  std::int32_t sample_one(const std::vector<float>& logits, const SamplingRow& row) {
    Sampler sampler(*backend_, prefills(1), std::ssize(logits), logits);
    sampler.harness.set_sampling(0, row);
    return sampler.run()[0];
  }
};

TEST_P(SampleErrorsConformance, NanAndInfinityEndARowWhereverTheyAre) {
  const auto good = random_floats(kNumIds, 3);
  for (const SamplingRow& row : all_settings()) {
    EXPECT_GE(sample_one(good, row), 0);
    for (const float bad : {kNan, -kNan, kInfinity}) {
      for (const std::size_t place : {0, 31, 2047, 2048, 4097, kNumIds - 1}) {
        auto logits = good;
        logits[place] = bad;
        EXPECT_EQ(sample_one(logits, row), kNonfinite) << bad << " at " << place;
      }
    }
    EXPECT_EQ(sample_one(std::vector<float>(kNumIds, kNan), row), kNonfinite);
    EXPECT_EQ(sample_one({kNan}, row), kNonfinite);
    EXPECT_EQ(sample_one({-kInfinity, kInfinity}, row), kNonfinite);
    EXPECT_EQ(sample_one({kNan, -kInfinity}, row), kNonfinite);
  }
}

TEST_P(SampleErrorsConformance, MinusInfinityIsLegalUnlessNothingElseIsThere) {
  for (const SamplingRow& row : all_settings()) {
    std::vector<float> logits(kNumIds, -kInfinity);
    EXPECT_EQ(sample_one(logits, row), kNoToken);
    EXPECT_EQ(sample_one({-kInfinity}, row), kNoToken);
    logits[4100] = -3e38f;
    EXPECT_EQ(sample_one(logits, row), 4100);
  }
}

TEST_P(SampleErrorsConformance, ProcessorsMayLeaveNoToken) {
  Sampler sampler(*backend_, prefills(2), 2, {1.0f, -kInfinity, 1.0f, 0.0f});
  for (int seq = 0; seq < 2; ++seq) {
    sampler.harness.set_sampling(seq, {.no_repeat_ngram_size = 1, .num_top_logprobs = 1});
    sampler.set_history(seq, {0}, {});
  }
  EXPECT_EQ(sampler.run(), (std::vector<std::int32_t>{kNoToken, 1}));
}

TEST_P(SampleErrorsConformance, ABadRowEndsAlone) {
  constexpr int kSeqs = 7;
  const std::vector<int> bad_rows = {1, 4, 6};
  for (const SamplingRow& like : all_settings()) {
    std::vector<float> logits;
    for (int seq = 0; seq < kSeqs; ++seq) {
      const auto row = random_floats(kNumIds, static_cast<std::uint32_t>(20 + seq));
      logits.insert(logits.end(), row.begin(), row.end());
    }
    const auto tokens = [&](const std::vector<float>& content, bool again) {
      Sampler sampler(*backend_, prefills(kSeqs), kNumIds, content);
      for (int seq = 0; seq < kSeqs; ++seq) {
        SamplingRow row = like;
        row.seed = static_cast<std::uint64_t>(seq);
        sampler.harness.set_sampling(seq, row);
        sampler.set_history(seq, {seq}, {seq + 1, 2});
      }
      auto chosen = sampler.run();
      if (!again) return chosen;
      // Failed rows leave no state that affects the next step.
      const Tensor& value = sampler.harness.step().value(sampler.op.logits);
      for (std::size_t i = 0; i < logits.size(); ++i) {
        if (std::isfinite(content[i])) continue;
        sampler.harness.poke(value.row<float>(0), static_cast<std::int64_t>(i), logits[i]);
      }
      return sampler.run();
    };
    const auto expected = tokens(logits, false);
    auto broken = logits;
    for (const int row : bad_rows) {
      broken[static_cast<std::size_t>(row * kNumIds + 997 * row % kNumIds)] =
          row % 2 == 0 ? kNan : kInfinity;
    }
    auto with_errors = expected;
    for (const int row : bad_rows) with_errors[static_cast<std::size_t>(row)] = kNonfinite;
    EXPECT_EQ(tokens(broken, false), with_errors);
    EXPECT_EQ(tokens(broken, true), expected);
  }
}

TEST_P(SampleErrorsConformance, BadRowsHaveNoLogprobs) {
  Sampler sampler(*backend_, prefills(3), 3,
                  {0.0f, kNan, 1.0f, -kInfinity, -kInfinity, -kInfinity, 1.0f, 2.0f, 3.0f});
  for (int seq = 0; seq < 3; ++seq) sampler.harness.set_sampling(seq, {.num_top_logprobs = 2});
  EXPECT_EQ(sampler.run(), (std::vector<std::int32_t>{kNonfinite, kNoToken, 2}));
  const OutputRing& ring = sampler.harness.step().ring;
  const auto logprobs = sampler.harness.read_array(ring.logprobs, 3);
  const auto ids = sampler.harness.read_array(ring.top_ids, 3 * kMaxTopLogprobs);
  for (const int seq : {0, 1}) {
    const auto row = static_cast<std::size_t>(sampler.harness.state_row(seq));
    EXPECT_EQ(logprobs[row], -9.0f);
    EXPECT_EQ(ids[row * kMaxTopLogprobs], -9);
  }
  const auto good = static_cast<std::size_t>(sampler.harness.state_row(2));
  EXPECT_NEAR(logprobs[good], -std::log(1 + std::exp(-1.0) + std::exp(-2.0)), 1e-6);
  EXPECT_EQ(ids[good * kMaxTopLogprobs], 2);
}

QUERN_INSTANTIATE(SampleErrorsConformance);

}  // namespace
}  // namespace quern::testing
