#include <gtest/gtest.h>

#include <sstream>

#include "graph/graph.h"
#include "tests/graph/small_graph.h"

namespace quern {
namespace {

std::string line_of(const Graph& graph, std::string_view name) {
  std::istringstream lines(dump(graph));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(std::string(name) + " ")) return line;
  }
  return {};
}

TEST(Dump, SmallGraph) {
  Graph graph = testing::small_graph();
  graph.nodes.erase(graph.nodes.begin() + 6, graph.nodes.begin() + 11);  // the second layer
  EXPECT_EQ(
      dump(graph),
      R"(embed                   Embed       -> embed [tokens, 8] float32  | tokens [10, 8], positions [16, 8]
layers.0.qkv            NormLinear  embed [tokens, 8] float32  -> layers.0.qkv [tokens, 16] float16  | layers.0.qkv.norm [1, 8], layers.0.qkv.norm_bias [1, 8], layers.0.qkv [16, 8], layers.0.qkv.bias [1, 16]  | layer eps=1e-05
layers.0.attention      Attention   layers.0.qkv [tokens, 16] float16  -> layers.0.attention [tokens, 8] float16  | layers.0.q_norm [1, 4], layers.0.k_norm [1, 4]  | layer=0 heads=2 kv_heads=1 head_dim=4 scale=0.5 rope=default rotary_dim=4 theta=10000 eps=1e-06
layers.0.attention_out  Linear      layers.0.attention [tokens, 8] float16  -> layers.0.attention_out [tokens, 8] float16  | layers.0.attention_out [8, 8], layers.0.attention_out.bias [1, 8]
layers.0.gate_up        NormLinear  embed [tokens, 8] float32, layers.0.attention_out [tokens, 8] float16  -> layers.0.gate_up.residual [tokens, 8] float32, layers.0.gate_up [tokens, 6] float16  | layers.0.gate_up.norm [1, 8], layers.0.gate_up.norm_bias [1, 8], layers.0.gate_up [12, 8], layers.0.gate_up.bias [1, 12]  | layer eps=1e-05 silu gated
layers.0.down           Linear      layers.0.gate_up [tokens, 6] float16  -> layers.0.down [tokens, 8] float16  | layers.0.down [8, 6], layers.0.down.bias [1, 8]
lm_head                 NormLinear  layers.1.gate_up.residual [tokens, 8] float32, layers.1.down [tokens, 8] float16  -> logits [logit_rows, 10] float32  | lm_head.norm [1, 8], lm_head.norm_bias [1, 8], lm_head [10, 8], lm_head.bias [1, 10]  | layer eps=1e-05 logit_rows_only
sample                  Sample      logits [logit_rows, 10] float32
advance                 Advance
)");
}

TEST(Dump, EveryAttributeOfAttention) {
  Graph graph = testing::small_graph();
  auto& op = testing::op_of<Attention>(graph, "layers.0.attention");
  op.window = 7;
  op.softcap = 30.0f;
  op.logn_length = 2048;
  op.rope->type = RopeType::yarn;
  op.rope->factor = 4.0;
  op.rope->original_max_position = 32768;
  op.rope->truncate = false;
  EXPECT_NE(line_of(graph, "layers.0.attention")
                .find("rope=yarn rotary_dim=4 theta=10000 factor=4 beta_fast=32 beta_slow=1 "
                      "attention_factor=1 exact_range from=32768 eps=1e-06 window=7 softcap=30 "
                      "logn=2048"),
            std::string::npos)
      << line_of(graph, "layers.0.attention");
  op.rope->type = RopeType::llama3;
  EXPECT_NE(line_of(graph, "layers.0.attention")
                .find("rope=llama3 rotary_dim=4 theta=10000 factor=4 low=1 high=4 from=32768"),
            std::string::npos);
}

TEST(Dump, EveryRopeTypeHasItsName) {
  Graph graph = testing::small_graph();
  auto& op = testing::op_of<Attention>(graph, "layers.0.attention");
  const std::pair<RopeType, const char*> names[] = {
      {RopeType::standard, "rope=default"}, {RopeType::linear, "rope=linear"},
      {RopeType::dynamic, "rope=dynamic"},  {RopeType::llama3, "rope=llama3"},
      {RopeType::yarn, "rope=yarn"},        {RopeType::qwen_ntk, "rope=qwen_ntk"}};
  for (const auto& [type, name] : names) {
    op.rope->type = type;
    EXPECT_NE(line_of(graph, "layers.0.attention").find(name), std::string::npos) << name;
  }
}

TEST(Dump, EveryActivationHasItsName) {
  Graph graph = testing::small_graph();
  auto& op = testing::op_of<NormLinear>(graph, "layers.0.gate_up");
  const std::pair<Activation, const char*> names[] = {{Activation::silu, " silu gated"},
                                                      {Activation::gelu, " gelu gated"},
                                                      {Activation::gelu_tanh, " gelu_tanh gated"},
                                                      {Activation::relu, " relu gated"}};
  for (const auto& [activation, name] : names) {
    op.activation = activation;
    EXPECT_TRUE(line_of(graph, "layers.0.gate_up").ends_with(name)) << name;
  }
}

}  // namespace
}  // namespace quern
