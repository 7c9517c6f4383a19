// Step::token_bitmask: only allowed tokens are chosen, with any other setting.
#include <cmath>
#include <random>

#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/sample/reference_sampling.h"
#include "tests/backend/conformance/sample/sampler.h"

namespace quern::testing {
namespace {

/// Rows of Step::token_bitmask.
class Bitmask {
 public:
  /// Nothing is allowed; `stride` words per row, some possibly beyond the vocabulary.
  Bitmask(int rows, std::int64_t stride)
      : stride_(stride), words_(static_cast<std::size_t>(rows * stride)) {}
  void allow(int row, int token) {
    words_[static_cast<std::size_t>(row * stride_ + token / 32)] |= bit(token);
  }
  bool allows(int row, int token) const {
    return (words_[static_cast<std::size_t>(row * stride_ + token / 32)] & bit(token)) != 0;
  }
  void apply(StepHarness& harness) const { harness.set_token_bitmask(words_, stride_); }

 private:
  static std::int32_t bit(int token) {
    return static_cast<std::int32_t>(std::uint32_t{1} << token % 32);
  }
  std::int64_t stride_;
  std::vector<std::int32_t> words_;
};

class TokenBitmaskConformance : public BackendTest {};

TEST_P(TokenBitmaskConformance, GreedyTakesTheBestThatIsAllowed) {
  Sampler sampler(*backend_, prefills(3), 40, [] {
    std::vector<float> logits;
    for (int i = 0; i < 3 * 40; ++i) logits.push_back(static_cast<float>(i % 40));
    return logits;
  }());
  Bitmask mask(3, 3);
  for (const int token : {0, 7, 31}) mask.allow(0, token);
  for (const int token : {32, 39}) mask.allow(1, token);
  mask.apply(sampler.harness);
  EXPECT_EQ(sampler.run(),
            (std::vector<std::int32_t>{31, 39, static_cast<std::int32_t>(SampleError::no_token)}));
}

TEST_P(TokenBitmaskConformance, EverySettingDrawsAsSpecifiedAmongTheAllowed) {
  constexpr int kSeqs = 12;
  constexpr int kVocab = 4133;  // several slices, and a last word that is not full
  std::vector<SamplingRow> settings = sampling_settings();
  for (std::size_t setting = 0; setting < settings.size(); ++setting) {
    SCOPED_TRACE(::testing::Message() << "setting " << setting);
    std::mt19937 random(static_cast<std::uint32_t>(setting));
    auto logits = random_floats(kSeqs * kVocab, static_cast<std::uint32_t>(setting));
    for (float& logit : logits) logit = std::round(logit * 8.0f) / 4.0f;  // with ties
    Sampler sampler(*backend_, prefills(kSeqs), kVocab, logits);
    Bitmask mask(kSeqs, (kVocab + 31) / 32 + 1);
    std::vector<std::int32_t> expected;
    for (int seq = 0; seq < kSeqs; ++seq) {
      SamplingRow row = settings[setting];
      row.seed = 77u + static_cast<std::uint64_t>(seq);
      row.num_logit_bias = 1;
      row.bias_ids[0] = 5;  // which is never allowed
      row.bias_values[0] = 50.0f;
      std::vector<std::int32_t> prompt, generated;
      for (int i = 0; i < seq; ++i) (i % 3 == 0 ? prompt : generated).push_back(i * i % 9);
      sampler.harness.set_sampling(seq, row);
      sampler.set_history(seq, prompt, generated);
      const auto begin = logits.begin() + seq * kVocab;
      auto scores = reference_processed({begin, begin + kVocab}, row, prompt, generated);
      for (int id = 0; id < kVocab; ++id) {
        // From all but one in fifty to one in a thousand; one row allows a single token.
        const bool allowed = id != 5 && (seq == 0   ? id == 4100
                                         : seq <= 4 ? random() % 50 != 0
                                         : seq <= 8 ? random() % 50 == 0
                                                    : random() % 1000 == 0 || id == 1000 + seq);
        if (allowed) {
          mask.allow(seq, id);
        } else {
          scores[static_cast<std::size_t>(id)] = -kInfinity;
        }
      }
      expected.push_back(reference_draw(reference_filtered(scores, row, seq), row, seq));
    }
    mask.apply(sampler.harness);
    EXPECT_EQ(sampler.run(), expected);
    for (int seq = 0; seq < kSeqs; ++seq) {
      EXPECT_TRUE(mask.allows(seq, expected[static_cast<std::size_t>(seq)]));
    }
  }
}

TEST_P(TokenBitmaskConformance, PenaltiesDoNotBringATokenBack) {
  Sampler sampler(*backend_, prefills(1), 3, {9.0f, -1.0f, -2.0f});
  sampler.harness.set_sampling(
      0, {.repetition_penalty = 0.5f, .presence_penalty = -4.0f, .frequency_penalty = -1.0f});
  sampler.set_history(0, {0}, {0, 0});
  Bitmask mask(1, 1);
  mask.allow(0, 1);
  mask.allow(0, 2);
  mask.apply(sampler.harness);
  EXPECT_EQ(sampler.run(), (std::vector<std::int32_t>{1}));
}

TEST_P(TokenBitmaskConformance, LogprobsStayThoseOfTheRawLogits) {
  Sampler sampler(*backend_, prefills(1), 3, {2.0f, 1.0f, 0.0f});
  sampler.harness.set_sampling(0, {.num_top_logprobs = 2});
  Bitmask mask(1, 1);
  mask.allow(0, 2);
  mask.apply(sampler.harness);
  EXPECT_EQ(sampler.run(), (std::vector<std::int32_t>{2}));
  const double normalizer = std::log(std::exp(2.0) + std::exp(1.0) + 1.0);
  const OutputRing& ring = sampler.harness.step().ring;
  EXPECT_NEAR(sampler.harness.read_array(ring.logprobs, 1)[0], -normalizer, 1e-6);
  EXPECT_EQ(sampler.harness.read_array(ring.top_ids, 2), (std::vector<std::int32_t>{0, 1}));
}

TEST_P(TokenBitmaskConformance, NonfiniteLogitsAreAnErrorEvenWhereTheyAreMasked) {
  Sampler sampler(*backend_, prefills(1), 2, {std::nanf(""), 1.0f});
  Bitmask mask(1, 1);
  mask.allow(0, 1);
  mask.apply(sampler.harness);
  EXPECT_EQ(sampler.run(),
            (std::vector<std::int32_t>{static_cast<std::int32_t>(SampleError::nonfinite_logits)}));
}

QUERN_INSTANTIATE(TokenBitmaskConformance);

}  // namespace
}  // namespace quern::testing
