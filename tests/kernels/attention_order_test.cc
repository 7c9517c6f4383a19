#include <cmath>

#include "backend/executor.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/step_harness.h"

namespace quern::testing {
namespace {

// A sequence's result does not depend, to the bit, on the rest of the batch as long as it gets as
// many KV splits and warps, on chunk boundaries, or on whether its steps were recorded.

constexpr int kHeads = 6;
constexpr int kKvHeads = 2;
constexpr int kHeadDim = 64;
constexpr int kRow = (kHeads + 2 * kKvHeads) * kHeadDim;

class AttentionOrder : public TypedBackendTest {
 protected:
  /// Attention over the harness's sequences with these qkv rows.
  Attention add_attention(StepHarness& harness, const std::vector<float>& qkv) {
    harness.add_kv_cache(1, kKvHeads, kHeadDim);
    Attention op;
    op.qkv = harness.add_value(dtype(), kRow, qkv);
    op.out = harness.add_value(dtype(), kHeads * kHeadDim);
    op.num_heads = kHeads;
    op.num_kv_heads = kKvHeads;
    op.head_dim = kHeadDim;
    op.scale = 0.125f;
    return op;
  }

  std::vector<float> random_rows(int count) {
    return rounded(dtype(), random_floats(std::int64_t{count} * kRow, 1));
  }
};

/// The first `rows` rows of an attention's result, or those from `first` on.
std::vector<float> out_rows(const StepHarness& harness, const Attention& op, int first, int rows) {
  const auto out = harness.read(op.out);
  const auto begin = out.begin() + std::ptrdiff_t{first} * kHeads * kHeadDim;
  return {begin, begin + std::ptrdiff_t{rows} * kHeads * kHeadDim};
}

TEST_P(AttentionOrder, TheSameAloneAndInASmallBatch) {
  const SequenceSpec own{.past = 700, .decode = true};
  const auto qkv = random_rows(60);
  StepHarness alone(*backend_, dtype(), {own}, 16);
  const Attention single = add_attention(alone, {qkv.begin(), qkv.begin() + kRow});
  alone.run(single);

  std::vector<SequenceSpec> many(20, {.past = 3, .decode = true});
  many[0] = own;
  many.push_back({.q_len = 40});
  StepHarness batch(*backend_, dtype(), many, 16);
  const Attention together = add_attention(batch, qkv);
  batch.run(together);
  EXPECT_EQ(out_rows(alone, single, 0, 1), out_rows(batch, together, 0, 1));
}

TEST_P(AttentionOrder, TheSameInOneChunkAndInTwo) {
  constexpr int kPast = 90;
  constexpr int kTokens = 150;
  StepHarness second(*backend_, dtype(), {{.q_len = kTokens - kPast, .past = kPast}}, 16);
  auto qkv = random_rows(kTokens);
  const Attention chunk = add_attention(second, {qkv.begin() + kPast * kRow, qkv.end()});
  second.run(chunk);

  // Without rope the cache holds the rows' keys and values as they are.
  for (int slot = 0; slot < kPast; ++slot) {
    for (int head = 0; head < kKvHeads; ++head) {
      const auto key = second.read_key(0, 0, head, slot);
      const auto value = second.read_value(0, 0, head, slot);
      auto at = qkv.begin() + slot * kRow + (kHeads + head) * kHeadDim;
      std::copy(key.begin(), key.end(), at);
      std::copy(value.begin(), value.end(), at + kKvHeads * kHeadDim);
    }
  }
  StepHarness all(*backend_, dtype(), {{.q_len = kTokens}}, 16);
  const Attention whole = add_attention(all, qkv);
  all.run(whole);
  EXPECT_EQ(out_rows(second, chunk, 0, kTokens - kPast),
            out_rows(all, whole, kPast, kTokens - kPast));
}

TEST_P(AttentionOrder, TheSameRecordedAndEager) {
  constexpr int kSteps = 50;  // across boundaries of blocks and of a KV split
  std::vector<std::vector<float>> results;
  for (const bool recorded : {false, true}) {
    StepHarness harness(*backend_, dtype(),
                        {{.past = 126, .decode = true, .wants_logits = false},
                         {.past = 100, .decode = true, .wants_logits = false}},
                        64);
    const Attention op = add_attention(harness, random_rows(2));
    harness.run(op);  // sets the step's values; the slot is written again below
    const GuardedBuffer workspace(*backend_, std::size_t{1} << 20);
    Step& step = harness.step();
    step.workspace = workspace.bytes();
    const std::vector<Node> nodes = {{op, "attention"}, {Advance{}, "advance"}};
    if (recorded) {
      backend_->record(nodes, step)->replay(kSteps);
    } else {
      for (int i = 0; i < kSteps; ++i) execute(*backend_, nodes, step);
    }
    EXPECT_EQ(harness.read_array(step.state.kv_len, 2), (std::vector<std::int32_t>{150, 176}));
    EXPECT_TRUE(workspace.guards_intact());
    results.push_back(out_rows(harness, op, 0, 2));
    results.push_back(harness.read_key(0, 0, 1, 175));
  }
  EXPECT_EQ(results[0], results[2]);
  EXPECT_EQ(results[1], results[3]);
}

QUERN_INSTANTIATE_TYPED(AttentionOrder);

}  // namespace
}  // namespace quern::testing
