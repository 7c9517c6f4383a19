#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/step_harness.h"

namespace quern::testing {
namespace {

/// Samples the same rows on the CPU and on the device.
class SampleAgreement : public BackendTest {
 protected:
  static constexpr int kSeqs = 64;

  static std::vector<std::int32_t> draw(Backend& backend, const std::vector<float>& logits,
                                        int vocab_size, const SamplingRow& row, int round) {
    StepHarness harness(backend, DType::float32,
                        std::vector<SequenceSpec>(static_cast<std::size_t>(kSeqs)));
    const Sample op{harness.add_value(DType::float32, vocab_size, logits, Rows::logit_rows)};
    const SequenceState& state = harness.step().state;
    for (int seq = 0; seq < kSeqs; ++seq) {
      SamplingRow own = row;
      own.seed = 1000 + static_cast<std::uint64_t>(round);
      own.sequence_index = static_cast<std::uint32_t>(seq);
      harness.set_sampling(seq, own);
      const int state_row = harness.state_row(seq);
      harness.poke(state.prompt_len, state_row, 3);
      harness.poke(state.generated, state_row, seq % 40);
      for (int i = 0; i < 3 + seq % 40; ++i) {
        harness.poke(state.history, state_row * state.history_stride + i, (i * i + seq) % 50);
      }
    }
    harness.run(op);
    return harness.read_array(state.last_token, static_cast<std::size_t>(kSeqs));
  }

  void check(const std::vector<float>& logits, int vocab_size, const SamplingRow& row, int round) {
    const auto cpu = make_cpu_backend(2);
    EXPECT_EQ(draw(*backend_, logits, vocab_size, row, round),
              draw(*cpu, logits, vocab_size, row, round));
  }

  static std::vector<SamplingRow> settings() {
    return {
        {.temperature = 1.0f},
        {.temperature = 0.7f, .top_k = 50},
        {.temperature = 1.0f, .top_k = 600},
        {.temperature = 1.0f, .top_p = 0.9f},
        {.temperature = 1.0f, .top_p = 0.999f},
        {.temperature = 1.2f, .min_p = 0.05f},
        {.temperature = 0.8f, .top_p = 0.95f, .min_p = 0.01f, .top_k = 100},
        {.temperature = 1.0f, .top_p = 0.8f, .repetition_penalty = 1.3f},
        {.temperature = 1.0f, .top_k = 20, .presence_penalty = 0.5f, .frequency_penalty = 0.3f},
        {.temperature = 1.0f, .no_repeat_ngram_size = 2},
        {.temperature = 1.0f, .mirostat_tau = 3.0f},  // lets 3 bits through, as the harness says
        {.temperature = 1.4f, .presence_penalty = 0.5f, .mirostat_tau = 6.0f},
    };
  }
};

/// Flat and peaked rows, some with many equal logits.
std::vector<float> rows_of_logits(int rows, int vocab_size, std::uint32_t seed) {
  auto logits = random_floats(std::int64_t{rows} * vocab_size, seed);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const std::size_t row = i / static_cast<std::size_t>(vocab_size);
    logits[i] *= 0.5f + static_cast<float>(row % 8);
    if (row % 3 == 0) logits[i] = std::round(logits[i] * 4.0f) / 4.0f;
  }
  return logits;
}

TEST_P(SampleAgreement, ThousandsOfDraws) {
  constexpr int kVocab = 4999;  // more than one slice, and no multiple of anything
  for (int round = 0; round < 4; ++round) {
    const auto logits = rows_of_logits(kSeqs, kVocab, static_cast<std::uint32_t>(round));
    for (std::size_t i = 0; i < settings().size(); ++i) {
      SCOPED_TRACE(::testing::Message() << "round " << round << ", setting " << i);
      check(logits, kVocab, settings()[i], round);
    }
  }
}

TEST_P(SampleAgreement, LargeVocabulary) {
  constexpr int kVocab = 151936;
  const auto logits = rows_of_logits(kSeqs, kVocab, 9);
  for (std::size_t i = 0; i < settings().size(); ++i) {
    SCOPED_TRACE(::testing::Message() << "setting " << i);
    check(logits, kVocab, settings()[i], 0);
  }
}

TEST_P(SampleAgreement, RightBehindEachOther) {
  // The blocks of a row wait for each other; those of the next launch may have started by then.
  constexpr int kVocab = 20000;
  constexpr int kLaunches = 50;
  StepHarness harness(*backend_, DType::float32,
                      std::vector<SequenceSpec>(static_cast<std::size_t>(kSeqs)));
  const Sample op{harness.add_value(DType::float32, kVocab, rows_of_logits(kSeqs, kVocab, 3),
                                    Rows::logit_rows)};
  for (int seq = 0; seq < kSeqs; ++seq) {
    harness.set_sampling(seq, {.seed = 7,
                               .sequence_index = static_cast<std::uint32_t>(seq),
                               .temperature = 1.0f,
                               .top_p = 0.9f,
                               .top_k = seq % 2 * 40});
  }
  harness.run(op);
  const auto tokens = harness.read_array(harness.step().state.last_token, kSeqs);
  const GuardedBuffer workspace(*backend_, std::size_t{16} << 20);
  harness.step().workspace = workspace.bytes();
  const std::vector<Node> nodes(kLaunches, Node{op, "sample"});
  const auto recording = backend_->record(nodes, harness.step());
  recording->replay(2);
  EXPECT_EQ(harness.read_array(harness.step().state.last_token, kSeqs), tokens);
  EXPECT_TRUE(workspace.guards_intact());
}

QUERN_INSTANTIATE(SampleAgreement);

}  // namespace
}  // namespace quern::testing
