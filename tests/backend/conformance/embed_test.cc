#include "base/error.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/step_harness.h"
#include "tests/support/expect_error.h"

namespace quern::testing {
namespace {

class EmbedConformance : public TypedBackendTest {
 protected:
  void check(const std::vector<SequenceSpec>& seqs, std::int64_t hidden_size, bool positions) {
    StepHarness harness(*backend_, DType::float32, seqs);
    const auto tokens = rounded(dtype(), random_floats(11 * hidden_size, 1));
    const auto places = rounded(dtype(), random_floats(40 * hidden_size, 2));
    Embed op{};
    op.out = harness.add_value(DType::float32, hidden_size);
    op.token_embedding = harness.add_weight(WeightUse::embedding, dtype(), 11, hidden_size, tokens);
    if (positions) {
      op.position_embedding =
          harness.add_weight(WeightUse::embedding, dtype(), 40, hidden_size, places);
    }
    harness.run(op);

    std::vector<float> expected;
    for (int seq = 0; seq < harness.num_seqs(); ++seq) {
      for (int i = 0; i < harness.spec(seq).q_len; ++i) {
        // The state's last token is 5; prompt ids as the harness makes them.
        const int id = harness.spec(seq).decode ? 5 : (7 * seq + 3 * i) % 11;
        const int position = harness.spec(seq).past + i;
        for (std::int64_t k = 0; k < hidden_size; ++k) {
          const float token = tokens[static_cast<std::size_t>(id * hidden_size + k)];
          const float place = places[static_cast<std::size_t>(position * hidden_size + k)];
          expected.push_back(positions ? token + place : token);
        }
      }
    }
    EXPECT_EQ(harness.read(op.out), expected);
  }
};

TEST_P(EmbedConformance, TokensAndPositions) {
  const std::vector<SequenceSpec> mixed = {{.past = 9, .decode = true},
                                           {.past = 30, .decode = true},
                                           {.q_len = 7, .past = 3},
                                           {.q_len = 1}};
  for (const bool positions : {false, true}) {
    check(mixed, 64, positions);
    check(mixed, 37, positions);
    check(mixed, 1, positions);
    check({{.q_len = 2}}, 600, positions);
    check({{.q_len = 0}, {.q_len = 3}}, 16, positions);
    check({}, 16, positions);
  }
}

QUERN_INSTANTIATE_TYPED(EmbedConformance);

class EmbedErrors : public BackendTest {};

TEST_P(EmbedErrors, IdsAndPositionsOutsideTheWeights) {
  if (backend_->device().kind != DeviceKind::cpu) GTEST_SKIP() << "a device cannot throw";
  for (const std::int32_t id : {-1, 11}) {
    StepHarness harness(*backend_, DType::float32, {{.q_len = 1}});
    harness.poke(harness.step().batch.token_ids, 0, id);
    Embed op{};
    op.out = harness.add_value(DType::float32, 4);
    op.token_embedding =
        harness.add_weight(WeightUse::embedding, DType::float32, 11, 4, std::vector<float>(44));
    EXPECT_THROW(harness.run(op), Error);
  }
  StepHarness harness(*backend_, DType::float32, {{.q_len = 1, .past = 4}});
  Embed op{};
  op.out = harness.add_value(DType::float32, 4);
  op.token_embedding =
      harness.add_weight(WeightUse::embedding, DType::float32, 11, 4, std::vector<float>(44));
  op.position_embedding =
      harness.add_weight(WeightUse::embedding, DType::float32, 4, 4, std::vector<float>(16));
  EXPECT_THROW(harness.run(op), Error);
}

QUERN_INSTANTIATE(EmbedErrors);

class CollectiveConformance : public BackendTest {};

TEST_P(CollectiveConformance, OneRankHasNoCommunicator) {
  StepHarness harness(*backend_, DType::float32, {{.q_len = 3}, {.q_len = 2}});
  const ValueId in = harness.add_value(DType::float32, 13, random_floats(5 * 13, 1));
  const ValueId out = harness.add_value(DType::float32, 13);
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"AllReduce", "communicator"}),
                     harness.run(AllReduce{in, out}));
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"AllGather", "communicator"}),
                     harness.run(AllGather{in, out}));
}

QUERN_INSTANTIATE(CollectiveConformance);

}  // namespace
}  // namespace quern::testing
