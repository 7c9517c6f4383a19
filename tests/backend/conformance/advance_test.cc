#include <algorithm>

#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/step_harness.h"

namespace quern::testing {
namespace {

class AdvanceConformance : public BackendTest {
 protected:
  static std::vector<std::int32_t> by_seq(const StepHarness& harness, const std::int32_t* array) {
    const auto rows = harness.read_array(array, static_cast<std::size_t>(harness.num_seqs()));
    return {rows.rbegin(), rows.rend()};  // the harness numbers its state rows backwards
  }
  static std::vector<std::int32_t> ring_row(const StepHarness& harness, int row) {
    const OutputRing& ring = harness.step().ring;
    return by_seq(harness, ring.tokens + row * ring.max_seqs);
  }
};

using Ints = std::vector<std::int32_t>;

TEST_P(AdvanceConformance, MovesCountsAndRecords) {
  StepHarness harness(*backend_, DType::float32,
                      {{.past = 9, .decode = true},
                       {.past = 4, .decode = true, .status = SequenceStatus::stop},
                       {.q_len = 6, .wants_logits = false},
                       {.q_len = 3, .past = 2}});
  const SequenceState& state = harness.step().state;
  for (int seq = 0; seq < 4; ++seq) {
    harness.poke(state.last_token, harness.state_row(seq), 20 + seq);
    harness.poke(state.prompt_len, harness.state_row(seq), 5);
    harness.poke(state.generated, harness.state_row(seq), seq == 0 ? 5 : 0);
  }
  harness.run(Advance{});

  EXPECT_EQ(by_seq(harness, state.kv_len), (Ints{10, 4, 6, 5}));
  EXPECT_EQ(by_seq(harness, state.position), (Ints{10, 4, 6, 5}));
  EXPECT_EQ(by_seq(harness, state.generated), (Ints{6, 0, 0, 1}));
  EXPECT_EQ(by_seq(harness, state.finished), (Ints{0, 1, 0, 0}));
  EXPECT_EQ(harness.read_array(state.num_finished, 1), Ints{0});
  EXPECT_EQ(ring_row(harness, 0), (Ints{20, -1, -1, 23}));
  EXPECT_EQ(ring_row(harness, 1), (Ints{-9, -9, -9, -9}));
  EXPECT_EQ(harness.read_array(harness.step().ring.head, 1), std::vector<std::int64_t>{1});
  const auto history = harness.read_array(state.history, 4 * 64);
  for (int seq = 0; seq < 4; ++seq) {
    const auto begin = static_cast<std::size_t>(harness.state_row(seq) * 64);
    for (std::size_t i = 0; i < 64; ++i) {
      const bool appended = (seq == 0 && i == 10) || (seq == 3 && i == 5);
      EXPECT_EQ(history[begin + i], appended ? 20 + seq : -7) << "sequence " << seq << ", " << i;
    }
  }
}

TEST_P(AdvanceConformance, PositionsMayDifferFromSlots) {
  StepHarness harness(*backend_, DType::float32, {{.past = 9, .decode = true}, {.q_len = 2}});
  harness.poke(harness.step().state.position, harness.state_row(0), 31);
  harness.poke(harness.step().batch.positions, 2, 41);
  harness.run(Advance{});
  EXPECT_EQ(by_seq(harness, harness.step().state.position), (Ints{32, 42}));
  EXPECT_EQ(by_seq(harness, harness.step().state.kv_len), (Ints{10, 2}));
}

TEST_P(AdvanceConformance, StopsOnEosTokenIdsAndAtTheLimit) {
  StepHarness harness(*backend_, DType::float32,
                      std::vector<SequenceSpec>(5, {.past = 3, .decode = true}));
  const SequenceState& state = harness.step().state;
  SamplingRow row;
  row.num_eos_token_ids = 2;
  row.eos_token_ids[0] = 70;
  row.eos_token_ids[1] = 71;
  row.eos_token_ids[2] = 72;  // beyond num_eos_token_ids
  const Ints tokens = {71, 72, 8, 70, 9};
  const Ints max_tokens = {9, 9, 4, 4, 5};
  for (int seq = 0; seq < 5; ++seq) {
    const auto i = static_cast<std::size_t>(seq);
    harness.set_sampling(seq, row);
    harness.poke(state.last_token, harness.state_row(seq), tokens[i]);
    harness.poke(state.generated, harness.state_row(seq), 3);
    harness.poke(state.max_tokens, harness.state_row(seq), max_tokens[i]);
  }
  harness.run(Advance{});
  // An EOS id as the last permitted token is a stop.
  EXPECT_EQ(by_seq(harness, state.finished), (Ints{1, 0, 2, 1, 0}));
  EXPECT_EQ(harness.read_array(state.num_finished, 1), Ints{3});
  EXPECT_EQ(ring_row(harness, 0), tokens);

  // Overshoot: only the two running sequences advance.
  harness.run(Advance{});
  EXPECT_EQ(by_seq(harness, state.kv_len), (Ints{4, 5, 4, 4, 5}));
  EXPECT_EQ(by_seq(harness, state.generated), (Ints{4, 5, 4, 4, 5}));
  EXPECT_EQ(ring_row(harness, 1), (Ints{-1, 72, -1, -1, 9}));
  EXPECT_EQ(by_seq(harness, state.finished), (Ints{1, 0, 2, 1, 2}));
  EXPECT_EQ(harness.read_array(state.num_finished, 1), Ints{4});
}

TEST_P(AdvanceConformance, ASampleErrorEndsItsSequenceAlone) {
  constexpr auto kNonfinite = static_cast<std::int32_t>(SampleError::nonfinite_logits);
  constexpr auto kNoToken = static_cast<std::int32_t>(SampleError::no_token);
  StepHarness harness(*backend_, DType::float32,
                      {{.past = 3, .decode = true},
                       {.past = 3, .decode = true},
                       {.past = 3, .decode = true},
                       {.q_len = 2}});
  const SequenceState& state = harness.step().state;
  const Ints tokens = {kNonfinite, 8, kNoToken, kNonfinite};
  for (int seq = 0; seq < 4; ++seq) {
    harness.poke(state.last_token, harness.state_row(seq), tokens[static_cast<std::size_t>(seq)]);
    harness.poke(state.max_tokens, harness.state_row(seq), 2);
  }
  harness.run(Advance{});
  EXPECT_EQ(by_seq(harness, state.finished), (Ints{3, 0, 3, 3}));
  EXPECT_EQ(harness.read_array(state.num_finished, 1), Ints{3});
  EXPECT_EQ(by_seq(harness, state.generated), (Ints{0, 1, 0, 0})) << "an error is no token";
  EXPECT_EQ(ring_row(harness, 0), tokens);
  EXPECT_EQ(by_seq(harness, state.last_token), (Ints{0, 8, 0, 0})) << "ids that can be embedded";
  const auto history = harness.read_array(state.history, 4 * 64);
  EXPECT_EQ(std::count(history.begin(), history.end(), -7), 4 * 64 - 1) << "of the token";

  // Overshoot: a finished sequence is unchanged and absent from the ring.
  harness.run(Advance{});
  EXPECT_EQ(ring_row(harness, 1), (Ints{-1, 8, -1, -1}));
  EXPECT_EQ(by_seq(harness, state.finished), (Ints{3, 2, 3, 3}));
}

TEST_P(AdvanceConformance, TheRingWrapsAndRestsWithoutLogits) {
  StepHarness harness(*backend_, DType::float32, {{.past = 1, .decode = true}});
  const OutputRing& ring = harness.step().ring;
  for (int step = 0; step < 5; ++step) {
    harness.poke(harness.step().state.last_token, 0, 30 + step);
    harness.run(Advance{});
  }
  EXPECT_EQ(harness.read_array(ring.head, 1), std::vector<std::int64_t>{5});
  EXPECT_EQ(harness.read_array(ring.tokens, 3), (Ints{33, 34, 32}));

  StepHarness silent(*backend_, DType::float32, {{.q_len = 4, .wants_logits = false}});
  silent.run(Advance{});
  EXPECT_EQ(silent.read_array(silent.step().ring.head, 1), std::vector<std::int64_t>{0});
  EXPECT_EQ(silent.read_array(silent.step().ring.tokens, 1), Ints{-9});
  EXPECT_EQ(by_seq(silent, silent.step().state.kv_len), Ints{4});

  StepHarness none(*backend_, DType::float32, {});
  none.run(Advance{});
}

QUERN_INSTANTIATE(AdvanceConformance);

}  // namespace
}  // namespace quern::testing
