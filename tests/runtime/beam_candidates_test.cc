// Beam search chooses from the tokens that Sample lists, as it would from all logits.
#include <gtest/gtest.h>

#include <memory>

#include "runtime/engine_access.h"
#include "tests/runtime/cpu_engine.h"
#include "tests/runtime/run/deferred_backend.h"

namespace quern {
namespace {

using testing::DeferredBackend;

constexpr int kSteps = 24;

/// One search alone on a backend that counts what is copied to the host.
class BeamCandidatesTest : public ::testing::Test {
 protected:
  static Request request(int num_beams) {
    Request request;
    request.prompt = "The king had three sons";
    request.beam_search.num_beams = num_beams;
    request.num_return_sequences = num_beams;
    request.max_new_tokens = kSteps;
    request.beam_search.early_stopping = EarlyStopping::never;
    return request;
  }

  /// The same request, but for a bias of a vanishing amount that could raise any token: the search
  /// reads all logits.
  static Request from_logits(Request request) {
    request.sampling.logit_bias.push_back({500, 1e-30f});
    return request;
  }

  Result run(const Request& request) {
    const RequestId id = engine_.submit(request);
    const std::uint64_t before = backend_->bytes_copied_out();
    while (engine_.busy()) engine_.step();
    copied_rows_ = (backend_->bytes_copied_out() - before) /
                   (static_cast<std::uint64_t>(engine_.model().config.vocab_size) * sizeof(float));
    return *engine_.take_result(id);
  }

  void expect_same(const Result& listed, const Result& dense) {
    EXPECT_EQ(listed.error, "");
    ASSERT_EQ(listed.sequences.size(), dense.sequences.size());
    for (std::size_t i = 0; i < dense.sequences.size(); ++i) {
      const SequenceResult& a = listed.sequences[i];
      const SequenceResult& b = dense.sequences[i];
      EXPECT_EQ(a.output_ids, b.output_ids);
      EXPECT_EQ(a.text, b.text);
      // log Σ exp is found from a difference there, and off by one of the last place of about 32.
      EXPECT_NEAR(*a.score, *b.score, 2 * kSteps * 0x1p-19);
      ASSERT_EQ(a.logprobs.size(), b.logprobs.size());
      for (std::size_t k = 0; k < a.logprobs.size(); ++k) {
        EXPECT_EQ(a.logprobs[k].id, b.logprobs[k].id);
        EXPECT_NEAR(a.logprobs[k].logprob, b.logprobs[k].logprob, 0x1p-18);
        ASSERT_EQ(a.logprobs[k].top.size(), b.logprobs[k].top.size());
        for (std::size_t j = 0; j < a.logprobs[k].top.size(); ++j) {
          EXPECT_EQ(a.logprobs[k].top[j].id, b.logprobs[k].top[j].id);
          EXPECT_NEAR(a.logprobs[k].top[j].logprob, b.logprobs[k].top[j].logprob, 0x1p-18);
        }
      }
    }
  }

  /// Runs the request both ways and returns the rows of logits that were copied for its lists.
  std::uint64_t copied_rows_of(const Request& request) {
    const Result listed = run(request);
    const std::uint64_t rows = copied_rows_;
    expect_same(listed, run(from_logits(request)));
    EXPECT_GT(copied_rows_, kSteps) << "the other way reads them";
    return rows;
  }

 private:
  static EngineOptions options() {
    EngineOptions options;
    options.device = DeviceChoice::cpu;
    options.threads = 1;
    options.max_seqs = 12;
    options.max_seq_len = 64;
    return resolve_options(options);
  }

  DeferredBackend* backend_ = new DeferredBackend(testing::Lag::full, false, 1);  // the engine's
  EngineAccess::Impl engine_{testing::demo_model("tale-gpt2").string(), options(),
                             std::unique_ptr<Backend>(backend_)};
  std::uint64_t copied_rows_ = 0;
};

TEST_F(BeamCandidatesTest, AreListedWithoutACopyOfTheLogits) {
  EXPECT_EQ(copied_rows_of(request(4)), 0u);
}

TEST_F(BeamCandidatesTest, ShowTheirLogprobs) {
  for (const int num_top : {0, 3, 20}) {
    Request shown = request(3);
    shown.top_logprobs = num_top;
    EXPECT_EQ(copied_rows_of(shown), 0u) << num_top;
  }
}

TEST_F(BeamCandidatesTest, EndAtEosAndStopStrings) {
  Request stopped = request(4);
  stopped.stop = {"the", "and"};
  stopped.stop_token_ids = {300, 301};
  EXPECT_EQ(copied_rows_of(stopped), 0u);
}

TEST_F(BeamCandidatesTest, KnowPenaltiesAndBansThatOnlyLower) {
  Request banned = request(4);
  banned.min_new_tokens = 10;
  banned.bad_words_ids = {{262}, {257, 290}};
  EXPECT_EQ(copied_rows_of(banned), 0u);
  Request ngrams = request(4);
  ngrams.sampling.no_repeat_ngram_size = 2;
  EXPECT_LT(copied_rows_of(ngrams), kSteps) << "of four a step";
  Request penalties = request(4);
  penalties.sampling.repetition_penalty = 1.2f;
  penalties.sampling.presence_penalty = 0.3f;
  penalties.sampling.frequency_penalty = 0.2f;
  penalties.sampling.dry_multiplier = 0.8f;
  EXPECT_LT(copied_rows_of(penalties), kSteps);
}

TEST_F(BeamCandidatesTest, ReadTheLogitsWhereAListIsNotEnough) {
  Request raised = request(4);
  raised.sampling.repetition_penalty = 0.9f;
  EXPECT_GT(copied_rows_of(raised), kSteps);
  // Sample has no room for the twenty best of the prompt and the one behind them.
  EXPECT_EQ(copied_rows_of(request(10)), 1u);
  EXPECT_GT(copied_rows_of(request(11)), kSteps);
}

}  // namespace
}  // namespace quern
