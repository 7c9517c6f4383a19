// Mirostat against its definition in double precision: Basu et al. 2021, as llama.cpp has it.
#include <cmath>
#include <limits>

#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/sample/reference_sampling.h"
#include "tests/backend/conformance/sample/sampler.h"

namespace quern::testing {
namespace {

class MirostatConformance : public BackendTest {
 protected:
  static float mu_of(const Sampler& sampler, int seq) {
    const auto rows = sampler.harness.read_array(sampler.harness.step().state.mirostat_mu,
                                                 static_cast<std::size_t>(seq_count(sampler)));
    return rows[static_cast<std::size_t>(sampler.harness.state_row(seq))];
  }
  static void set_mu(Sampler& sampler, int seq, float mu) {
    sampler.harness.poke(sampler.harness.step().state.mirostat_mu, sampler.harness.state_row(seq),
                         mu);
  }

 private:
  static int seq_count(const Sampler& sampler) { return sampler.harness.num_seqs(); }
};

/// Sorts by probability, cuts what is too surprising, draws, and moves `mu`.
std::int32_t reference_mirostat(std::vector<double> scores, const SamplingRow& row, int position,
                                double& mu) {
  for (double& score : scores) score /= row.temperature;
  const std::vector<double> probabilities = reference_softmax(scores);
  std::size_t best = 0;
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (scores[id] > scores[best]) best = id;
  }
  for (std::size_t id = 0; id < scores.size(); ++id) {
    const bool is_first = -std::log2(probabilities[best]) > mu && id == best;
    if (-std::log2(probabilities[id]) > mu && !is_first) scores[id] = -kInfinity;
  }
  const std::int32_t token = reference_draw(scores, row, position);
  const double p = reference_softmax(scores)[static_cast<std::size_t>(token)];
  mu -= row.mirostat_eta * (-std::log2(p) - row.mirostat_tau);
  return token;
}

TEST_P(MirostatConformance, TokensAndStateFollowTheDefinition) {
  constexpr int kSeqs = 6;
  constexpr int kSteps = 40;
  for (const int vocab_size : {57, 5003}) {  // 5003: several slices
    SCOPED_TRACE(::testing::Message() << "vocabulary of " << vocab_size);
    auto logits = random_floats(std::int64_t{kSeqs} * vocab_size, 31);
    for (float& logit : logits) logit = std::round(logit * 12.0f) / 4.0f;  // with ties
    Sampler sampler(*backend_, prefills(kSeqs), vocab_size, logits);
    std::vector<SamplingRow> rows;
    std::vector<double> mus;
    for (int seq = 0; seq < kSeqs; ++seq) {
      rows.push_back({.seed = 77 + static_cast<std::uint64_t>(seq),
                      .temperature = 0.7f + 0.2f * static_cast<float>(seq),
                      .repetition_penalty = seq == 2 ? 1.4f : 1.0f,
                      .mirostat_tau = 1.0f + 0.8f * static_cast<float>(seq),
                      .mirostat_eta = seq == 3 ? 0.0f : 0.1f * static_cast<float>(seq + 1)});
      mus.push_back(2.0 * rows.back().mirostat_tau);
      sampler.harness.set_sampling(seq, rows.back());
      set_mu(sampler, seq, static_cast<float>(mus.back()));
    }
    std::vector<std::int32_t> history;
    for (int step = 0; step < kSteps; ++step) {
      std::vector<std::int32_t> expected;
      for (int seq = 0; seq < kSeqs; ++seq) {
        const auto at = static_cast<std::size_t>(seq);
        sampler.set_history(seq, {1, 2}, history);
        const auto begin = logits.begin() + seq * vocab_size;
        const auto scores =
            reference_processed({begin, begin + vocab_size}, rows[at], {1, 2}, history);
        expected.push_back(reference_mirostat(scores, rows[at], step + 2, mus[at]));
      }
      ASSERT_EQ(sampler.run(), expected) << "step " << step;
      for (int seq = 0; seq < kSeqs; ++seq) {
        EXPECT_NEAR(mu_of(sampler, seq), mus[static_cast<std::size_t>(seq)], 1e-4) << step;
      }
      history.push_back(step % 9);
    }
  }
}

TEST_P(MirostatConformance, TheBestTokenIsLeftAloneUnderASmallMu) {
  Sampler sampler(*backend_, prefills(2), 4, {1.0f, 2.0f, 2.0f, 2.0f, 0.0f, 9.0f, 1.0f, 1.0f});
  for (int seq = 0; seq < 2; ++seq) {
    sampler.harness.set_sampling(seq,
                                 {.temperature = 1.0f, .mirostat_tau = 3.0f, .mirostat_eta = 0.5f});
  }
  set_mu(sampler, 0, 1.5f);  // the three best have a surprise of 1.7 bits each
  set_mu(sampler, 1, -4.0f);
  EXPECT_EQ(sampler.run(), (std::vector<std::int32_t>{1, 1}));
  // A certain token surprises nobody.
  EXPECT_FLOAT_EQ(mu_of(sampler, 0), 1.5f + 0.5f * 3.0f);
  EXPECT_FLOAT_EQ(mu_of(sampler, 1), -4.0f + 0.5f * 3.0f);
}

TEST_P(MirostatConformance, RowsThatDrawNothingKeepTheirState) {
  constexpr int kSeqs = 5;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Sampler sampler(*backend_, prefills(kSeqs), 3,
                  {1.0f, 2.0f, 0.0f, 1.0f, nan, 0.0f, -kInfinity, -kInfinity, -kInfinity, 1e5f,
                   3e5f, 0.0f, 1.0f, 2.0f, 0.0f});
  const std::vector<SamplingRow> rows = {{.mirostat_tau = 2.0f},  // greedy
                                         {.temperature = 1.0f, .mirostat_tau = 2.0f},
                                         {.temperature = 1.0f, .mirostat_tau = 2.0f},
                                         {.temperature = 1e-36f, .mirostat_tau = 2.0f},
                                         {.temperature = 1.0f}};
  for (int seq = 0; seq < kSeqs; ++seq) {
    sampler.harness.set_sampling(seq, rows[static_cast<std::size_t>(seq)]);
    set_mu(sampler, seq, 0.25f * static_cast<float>(seq + 1));
  }
  const auto tokens = sampler.run();
  EXPECT_EQ(tokens[0], 1);
  EXPECT_EQ(tokens[1], static_cast<std::int32_t>(SampleError::nonfinite_logits));
  EXPECT_EQ(tokens[2], static_cast<std::int32_t>(SampleError::no_token));
  EXPECT_EQ(tokens[3], 1);
  for (int seq = 0; seq < kSeqs; ++seq) {
    EXPECT_EQ(mu_of(sampler, seq), 0.25f * static_cast<float>(seq + 1)) << seq;
  }
}

TEST_P(MirostatConformance, TheMeanSurpriseComesNearTau) {
  constexpr int kVocab = 400;
  constexpr int kSteps = 1500;
  const auto logits = random_floats(kVocab, 8);
  Sampler sampler(*backend_, prefills(1), kVocab, logits);
  const float tau = 4.0f;  // the entropy of all tokens is about 8 bits
  SamplingRow row{.temperature = 1.0f, .mirostat_tau = tau, .mirostat_eta = 0.1f};
  set_mu(sampler, 0, 2 * tau);
  // mu moves by eta · (tau - surprise) a step, so its way from start to end says the mean.
  for (int step = 0; step < kSteps; ++step) {
    row.seed = static_cast<std::uint64_t>(step);
    sampler.harness.set_sampling(0, row);
    sampler.run();
  }
  const double mean = tau - (mu_of(sampler, 0) - 2 * tau) / (row.mirostat_eta * kSteps);
  EXPECT_NEAR(mean, tau, 0.05);
  EXPECT_LT(mu_of(sampler, 0), 2 * tau);
}

QUERN_INSTANTIATE(MirostatConformance);

}  // namespace
}  // namespace quern::testing
