#include <cmath>
#include <limits>

#include "base/philox.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/reference_sampling.h"
#include "tests/backend/conformance/step_harness.h"

namespace quern::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<SequenceSpec> prefills(int count) {
  return std::vector<SequenceSpec>(static_cast<std::size_t>(count));
}

/// One Sample over given logits, a row a sequence.
class Sampler {
 public:
  Sampler(Backend& backend, const std::vector<SequenceSpec>& seqs, std::int64_t vocab_size,
          const std::vector<float>& logits)
      : harness(backend, DType::float32, seqs) {
    op.logits = harness.add_value(DType::float32, vocab_size, logits, Rows::logit_rows);
  }

  void set_history(int seq, const std::vector<std::int32_t>& prompt,
                   const std::vector<std::int32_t>& generated) {
    const SequenceState& state = harness.step().state;
    const int row = harness.state_row(seq);
    harness.poke(state.prompt_len, row, static_cast<std::int32_t>(prompt.size()));
    harness.poke(state.generated, row, static_cast<std::int32_t>(generated.size()));
    std::int64_t at = row * state.history_stride;
    for (const std::int32_t id : prompt) harness.poke(state.history, at++, id);
    for (const std::int32_t id : generated) harness.poke(state.history, at++, id);
  }

  /// The token of each sequence.
  std::vector<std::int32_t> run() {
    harness.run(op);
    const auto rows = harness.read_array(harness.step().state.last_token,
                                         static_cast<std::size_t>(harness.num_seqs()));
    return {rows.rbegin(), rows.rend()};  // the harness numbers its state rows backwards
  }

  StepHarness harness;
  Sample op{};
};

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

TEST_P(SampleConformance, NotANumberNeverWins) {
  for (const float temperature : {0.0f, 1.0f}) {
    const SamplingRow row{
        .temperature = temperature,
        .top_k = 2,
    };
    EXPECT_EQ(sample_one({kNan, -5.0f, kNan}, row), 1);
    EXPECT_EQ(sample_one({kNan, kNan}, row), 0);
    EXPECT_EQ(sample_one({-kInfinity, -kInfinity}, row), 0);
    EXPECT_EQ(sample_one({1.0f, kInfinity, kInfinity, kNan}, row), 1);
    EXPECT_EQ(sample_one({-kInfinity, kNan, -2.0f}, row), 2);
  }
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

/// The settings that the random tests go through.
std::vector<SamplingRow> settings() {
  return {
      {.temperature = 1.0f},
      {.temperature = 0.6f},
      {.temperature = 1.5f, .top_k = 5},
      {.temperature = 1.0f, .top_k = 1000},
      {.temperature = 1.0f, .top_p = 0.7f},
      {.temperature = 1.0f, .top_p = 0.05f},
      {.temperature = 1.3f, .min_p = 0.1f},
      {.temperature = 0.8f, .top_p = 0.9f, .min_p = 0.02f, .top_k = 20},
      {.temperature = 1.0f, .top_p = 0.8f, .repetition_penalty = 1.4f},
      {.temperature = 0.9f, .top_k = 12, .presence_penalty = 0.7f, .frequency_penalty = 0.4f},
      {.temperature = 1.0f, .repetition_penalty = 0.8f, .no_repeat_ngram_size = 2},
  };
}

TEST_P(SampleConformance, DrawsAsSpecifiedOnRandomLogits) {
  constexpr int kVocab = 57;
  constexpr int kSeqs = 24;
  for (std::size_t setting = 0; setting < settings().size(); ++setting) {
    SCOPED_TRACE(::testing::Message() << "setting " << setting);
    auto logits = random_floats(kSeqs * kVocab, static_cast<std::uint32_t>(setting));
    for (float& logit : logits) logit = std::round(logit * 8.0f) / 4.0f;  // with ties
    Sampler sampler(*backend_, prefills(kSeqs), kVocab, logits);
    std::vector<std::int32_t> expected;
    for (int seq = 0; seq < kSeqs; ++seq) {
      SamplingRow row = settings()[setting];
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
          reference_processed({begin, begin + kVocab}, row, prompt, generated), row);
      double best = -std::numeric_limits<double>::infinity();
      int winner = -1;
      for (int id = 0; id < kVocab; ++id) {
        const auto word = draw_word(row.seed, row.sequence_index, static_cast<std::uint32_t>(seq),
                                    static_cast<std::uint32_t>(id));
        const double value = scores[static_cast<std::size_t>(id)] + gumbel(word);
        if (value > best) {
          best = value;
          winner = id;
        }
      }
      expected.push_back(winner);
    }
    EXPECT_EQ(sampler.run(), expected);
  }
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

  for (std::size_t setting = 0; setting < settings().size(); ++setting) {
    SCOPED_TRACE(::testing::Message() << "setting " << setting);
    Sampler sampler(*backend_, prefills(kSeqs), kVocab, rows);
    std::vector<int> counts(kVocab);
    for (int seq = 0; seq < kSeqs; ++seq) sampler.set_history(seq, prompt, {});
    SamplingRow row = settings()[setting];
    for (int draw = 0; draw < kDraws; draw += kSeqs) {
      for (int seq = 0; seq < kSeqs; ++seq) {
        row.seed = static_cast<std::uint64_t>(draw / kSeqs % 20);
        row.sequence_index = static_cast<std::uint32_t>(draw / kSeqs / 20 * kSeqs + seq);
        sampler.harness.set_sampling(seq, row);
      }
      for (const std::int32_t id : sampler.run()) ++counts[static_cast<std::size_t>(id)];
    }
    const auto probabilities =
        reference_softmax(reference_filtered(reference_processed(logits, row, prompt, {}), row));
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
  for (SamplingRow row : settings()) {
    row.num_top_logprobs = 5;
    row.seed = 3;
    const auto scores = reference_filtered(reference_processed(logits, row, {}, {}), row);
    double best = -std::numeric_limits<double>::infinity();
    std::int32_t winner = -1;
    for (int id = 0; id < kVocab; ++id) {
      const double value = scores[static_cast<std::size_t>(id)] +
                           gumbel(draw_word(3, 0, 0, static_cast<std::uint32_t>(id)));
      if (value > best) {
        best = value;
        winner = id;
      }
    }
    EXPECT_EQ(sample_one(logits, row), winner);
  }
}

QUERN_INSTANTIATE(SampleConformance);

}  // namespace
}  // namespace quern::testing
