#include "graph/plan/node_cost.h"

#include <gtest/gtest.h>

#include "tests/graph/small_graph.h"

namespace quern {
namespace {

class NodeCostTest : public ::testing::Test {
 protected:
  NodeCostTest() : graph_(testing::small_graph()) {
    for (const WeightSpec& spec : graph_.weights) {
      const DType stored = spec.use == WeightUse::vector ? DType::float32 : DType::float16;
      weights_.push_back(row_major_weight({.stored = stored}, spec.shape(), nullptr, {}));
    }
  }

  NodeCost cost(std::string_view name, const StepSizes& sizes) const {
    for (const Node& node : graph_.nodes) {
      if (node.name == name) return node_cost(graph_, node, {weights_, kv_format_}, sizes);
    }
    ADD_FAILURE() << name;
    return {};
  }

  Graph graph_;
  KvFormat kv_format_ = unscaled_kv_format(DType::float16);
  std::vector<Weight> weights_;
};

constexpr StepSizes kSizes = {
    .num_tokens = 3, .num_logit_rows = 2, .kv_slots = 20, .attended_pairs = 50};

TEST_F(NodeCostTest, EmbeddingsReadTheTokensRows) {
  const NodeCost embed = cost("embed", kSizes);
  EXPECT_EQ(embed.weight_bytes, 3 * (8 + 8) * 2);
  EXPECT_EQ(embed.activation_bytes, 3 * 8 * 4);
  EXPECT_EQ(embed.flops, 0);
}

TEST_F(NodeCostTest, ProductsReadTheirWeightOnce) {
  const NodeCost down = cost("layers.1.down", kSizes);
  EXPECT_EQ(down.weight_bytes, 8 * 6 * 2 + 8 * 4);
  EXPECT_EQ(down.activation_bytes, 3 * (6 + 8) * 2);
  EXPECT_EQ(down.flops, 2 * 3 * 8 * 6);

  const NodeCost gate_up = cost("layers.1.gate_up", kSizes);
  EXPECT_EQ(gate_up.weight_bytes, 12 * 8 * 2 + (8 + 8 + 12) * 4);
  EXPECT_EQ(gate_up.activation_bytes, 3 * (8 * 4 + 8 * 2 + 8 * 4 + 6 * 2));
  EXPECT_EQ(gate_up.flops, 2 * 3 * 12 * 8);
}

TEST_F(NodeCostTest, TheHeadReadsLogitRowsAlone) {
  const NodeCost head = cost("lm_head", kSizes);
  EXPECT_EQ(head.activation_bytes, 2 * (8 * 4 + 8 * 2 + 10 * 4));
  EXPECT_EQ(head.flops, 2 * 2 * 10 * 8);
  EXPECT_EQ(cost("sample", kSizes).activation_bytes, 2 * 10 * 4);
  EXPECT_EQ(cost("advance", kSizes).bytes(), 0);
}

TEST_F(NodeCostTest, AttentionReadsSlotsAndAppendsTokens) {
  const NodeCost attention = cost("layers.0.attention", kSizes);
  EXPECT_EQ(attention.kv_bytes, (20 + 3) * 2 * 4 * 2);
  EXPECT_EQ(attention.activation_bytes, 3 * (16 + 8) * 2);
  EXPECT_EQ(attention.flops, 4 * 50 * 2 * 4);

  kv_format_ = {.keys = DType::float16, .values = DType::uint8};
  EXPECT_EQ(cost("layers.0.attention", kSizes).kv_bytes, (20 + 3) * 4 * (2 + 1));
}

TEST_F(NodeCostTest, SizesOfStepsCountWhatIsSeen) {
  const StepSizes decode = decode_sizes(4, 10);
  EXPECT_EQ(decode.num_tokens, 4);
  EXPECT_EQ(decode.num_logit_rows, 4);
  EXPECT_EQ(decode.kv_slots, 36);
  EXPECT_EQ(decode.attended_pairs, 40);
  const StepSizes prefill = prefill_sizes(2, 3);
  EXPECT_EQ(prefill.num_tokens, 6);
  EXPECT_EQ(prefill.num_logit_rows, 2);
  EXPECT_EQ(prefill.kv_slots, 0);
  EXPECT_EQ(prefill.attended_pairs, 12);

  NodeCost sum = cost("embed", decode);
  sum += cost("layers.0.attention", decode);
  EXPECT_EQ(sum.bytes(),
            cost("embed", decode).bytes() + cost("layers.0.attention", decode).bytes());
  EXPECT_EQ(sum.flops, cost("layers.0.attention", decode).flops);
}

}  // namespace
}  // namespace quern
