#include <gtest/gtest.h>

#include <functional>

#include "graph/graph.h"
#include "tests/graph/small_graph.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using testing::op_of;
using testing::small_graph;

/// One violation in an otherwise valid graph, and what the error must name.
struct Breakage {
  const char* what;
  std::function<void(Graph&)> change;
  std::initializer_list<std::string_view> parts;
};

void expect_broken(std::initializer_list<Breakage> breakages) {
  for (const Breakage& breakage : breakages) {
    SCOPED_TRACE(breakage.what);
    Graph graph = small_graph();
    breakage.change(graph);
    testing::expect_error(ErrorCode::internal, breakage.parts, [&] { validate(graph); });
  }
}

Value& value_of(Graph& graph, std::string_view name) {
  for (Value& value : graph.values) {
    if (value.name == name) return value;
  }
  throw std::runtime_error("no value " + std::string(name));
}

WeightSpec& weight_of(Graph& graph, std::string_view name) {
  for (WeightSpec& spec : graph.weights) {
    if (spec.name == name) return spec;
  }
  throw std::runtime_error("no weight " + std::string(name));
}

TEST(Validate, AcceptsTheSmallGraph) { EXPECT_NO_THROW(validate(small_graph())); }

TEST(Validate, AcceptsAnEmbeddingAsTiedMatrix) {
  Graph graph = small_graph();
  weight_of(graph, "lm_head").use = WeightUse::embedding;
  EXPECT_NO_THROW(validate(graph));
}

TEST(Validate, Declarations) {
  expect_broken({
      {"integer activations", [](Graph& g) { g.activation_dtype = DType::int32; }, {"int32"}},
      {"no columns", [](Graph& g) { value_of(g, "embed").cols = 0; }, {"embed", "[tokens, 0]"}},
      {"integer value",
       [](Graph& g) { value_of(g, "embed").dtype = DType::int64; },
       {"embed", "int64"}},
      {"empty weight", [](Graph& g) { weight_of(g, "tokens").in_features = 0; }, {"tokens"}},
      {"negative weight", [](Graph& g) { weight_of(g, "tokens").in_features = -8; }, {"tokens"}},
      {"overflowing weight",
       [](Graph& g) { weight_of(g, "tokens").out_features = INT64_MAX; },
       {"tokens"}},
      {"vector of two rows",
       [](Graph& g) { weight_of(g, "lm_head.norm").out_features = 2; },
       {"lm_head.norm", "[2, 8]"}},
      {"no parts", [](Graph& g) { weight_of(g, "tokens").parts.clear(); }, {"tokens", "parts"}},
      {"part too small",
       [](Graph& g) {
         weight_of(g, "tokens").parts[0].shape = {9, 8};
       },
       {"tokens", "parts"}},
      {"part too large",
       [](Graph& g) {
         weight_of(g, "tokens").parts[0].shape = {INT64_MAX, 2};
       },
       {"tokens", "parts"}},
  });
}

TEST(Validate, OrderOfReadsAndWrites) {
  expect_broken({
      {"value id too large",
       [](Graph& g) { op_of<Linear>(g, "layers.0.down").in = ValueId{999}; },
       {"layers.0.down", "999"}},
      {"negative value id",
       [](Graph& g) { op_of<Linear>(g, "layers.0.down").out = ValueId{-1}; },
       {"layers.0.down"}},
      {"weight id too large",
       [](Graph& g) { op_of<Linear>(g, "layers.0.down").weight = WeightId{999}; },
       {"layers.0.down", "999"}},
      {"read before written",
       [](Graph& g) { std::swap(g.nodes[2], g.nodes[3]); },
       {"layers.0.attention_out", "layers.0.attention", "before"}},
      {"written twice",
       [](Graph& g) {
         op_of<Linear>(g, "layers.0.down").out = op_of<Linear>(g, "layers.0.attention_out").out;
       },
       {"layers.0.down", "layers.0.attention_out", "again"}},
      {"residual_out in place",
       [](Graph& g) {
         auto& op = op_of<NormLinear>(g, "layers.0.gate_up");
         op.residual_out = op.residual;
       },
       {"layers.0.gate_up", "embed", "again"}},
      {"in place from the start",
       [](Graph& g) {
         auto& op = op_of<Linear>(g, "layers.0.down");
         op.in = op.out;
       },
       {"layers.0.down", "before"}},
      {"both outputs in one value",
       [](Graph& g) {
         auto& op = op_of<NormLinear>(g, "layers.0.gate_up");
         op.out = *op.residual_out;
       },
       {"layers.0.gate_up", "again"}},
      {"value never written",
       [](Graph& g) {
         g.values.push_back({Rows::tokens, 1, DType::float32, "stray"});
       },
       {"stray"}},
      {"weight never used",
       [](Graph& g) {
         g.weights.push_back(testing::weight_spec("stray", WeightUse::matrix, 1, 1));
       },
       {"stray"}},
      {"Embed not first",
       [](Graph& g) {
         g.nodes.insert(g.nodes.begin(), {Advance{}, "early"});
       },
       {"early", "Embed"}},
      {"a second Embed",
       [](Graph& g) {
         g.values.push_back({Rows::tokens, 8, DType::float32, "again"});
         auto embed = std::get<Embed>(g.nodes[0].op);
         embed.out = ValueId{static_cast<int>(g.values.size()) - 1};
         g.nodes.push_back({embed, "embed2"});
       },
       {"embed2"}},
  });
}

TEST(Validate, Layers) {
  expect_broken({
      {"does not start at 0",
       [](Graph& g) { op_of<Attention>(g, "layers.0.attention").layer = 1; },
       {"layers.0.attention", "expected 0"}},
      {"repeats",
       [](Graph& g) { op_of<Attention>(g, "layers.1.attention").layer = 0; },
       {"layers.1.attention", "expected 1"}},
      {"other KV geometry",
       [](Graph& g) {
         auto& op = op_of<Attention>(g, "layers.1.attention");
         op.num_heads = 4;
         op.num_kv_heads = 2;
         op.head_dim = 2;
         op.rope->rotary_dim = 2;
         op.q_norm.reset();
         op.k_norm.reset();
       },
       {"layers.1.attention", "2 KV heads of 2", "1 of 4"}},
  });
}

TEST(Validate, Embed) {
  expect_broken({
      {"16-bit residual",
       [](Graph& g) { value_of(g, "embed").dtype = DType::float16; },
       {"embed", "float32", "float16"}},
      {"width",
       [](Graph& g) { g.weights[0] = testing::weight_spec("tokens", WeightUse::embedding, 10, 9); },
       {"token_embedding", "[10, 9]", "[any, 8]"}},
      {"use", [](Graph& g) { weight_of(g, "tokens").use = WeightUse::matrix; }, {"tokens"}},
      {"positions' use",
       [](Graph& g) { weight_of(g, "positions").use = WeightUse::matrix; },
       {"positions"}},
  });
}

TEST(Validate, NormLinear) {
  expect_broken({
      {"16-bit residual_out",
       [](Graph& g) { value_of(g, "layers.1.qkv.residual").dtype = DType::float16; },
       {"layers.1.qkv", "residual_out", "float32"}},
      {"float32 out",
       [](Graph& g) { value_of(g, "layers.1.qkv").dtype = DType::float32; },
       {"layers.1.qkv", "float16"}},
      {"16-bit logits",
       [](Graph& g) { value_of(g, "logits").dtype = DType::float16; },
       {"sample", "float32"}},
      {"32-bit tokens",
       [](Graph& g) { value_of(g, "layers.0.gate_up").dtype = DType::float32; },
       {"layers.0.gate_up", "float16"}},
      {"tokens of logit rows",
       [](Graph& g) { op_of<NormLinear>(g, "layers.1.qkv").in_rows = Rows::logit_rows; },
       {"layers.1.qkv", "tokens out of logit rows"}},
      {"residual of other rows",
       [](Graph& g) { op_of<NormLinear>(g, "lm_head").in_rows = Rows::logit_rows; },
       {"lm_head", "residual", "logit_rows", "tokens"}},
      {"residual_out of other rows",
       [](Graph& g) {
         op_of<NormLinear>(g, "layers.1.gate_up").out_rows = Rows::logit_rows;
         value_of(g, "layers.1.gate_up").rows = Rows::logit_rows;
       },
       {"layers.1.gate_up", "residual_out", "logit_rows", "tokens"}},
      {"logits for every token",
       [](Graph& g) { value_of(g, "logits").rows = Rows::tokens; },
       {"lm_head", "logit_rows"}},
      {"float32 delta",
       [](Graph& g) {
         auto& op = op_of<NormLinear>(g, "layers.0.gate_up");
         op.delta = op.residual;
       },
       {"layers.0.gate_up", "delta"}},
      {"16-bit residual in",
       [](Graph& g) {
         auto& op = op_of<NormLinear>(g, "layers.0.gate_up");
         op.residual = *op.delta;
       },
       {"layers.0.gate_up", "residual"}},
      {"gain",
       [](Graph& g) {
         weight_of(g, "lm_head.norm") = testing::weight_spec("gain", WeightUse::vector, 1, 7);
       },
       {"lm_head", "gain", "[1, 7]", "[1, 8]"}},
      {"gain as a matrix",
       [](Graph& g) { weight_of(g, "lm_head.norm").use = WeightUse::matrix; },
       {"lm_head.norm"}},
      {"rms with a norm_bias",
       [](Graph& g) { op_of<NormLinear>(g, "lm_head").norm = NormKind::rms; },
       {"lm_head", "norm_bias"}},
      {"ungated weight in a gated node",
       [](Graph& g) {
         weight_of(g, "layers.0.gate_up") = testing::weight_spec("half", WeightUse::matrix, 6, 8);
       },
       {"layers.0.gate_up", "[6, 8]", "[12, 8]"}},
      {"bias",
       [](Graph& g) {
         weight_of(g, "lm_head.bias") = testing::weight_spec("short", WeightUse::vector, 1, 9);
       },
       {"lm_head", "bias", "[1, 9]"}},
      {"weight as a vector",
       [](Graph& g) {
         auto& op = op_of<NormLinear>(g, "lm_head");
         op.weight = op.gain;
       },
       {"lm_head", "weight"}},
      {"no epsilon",
       [](Graph& g) { op_of<NormLinear>(g, "lm_head").epsilon = 0.0f; },
       {"lm_head", "epsilon"}},
  });
}

TEST(Validate, Attention) {
  const auto attention = [](Graph& g) -> Attention& {
    return op_of<Attention>(g, "layers.1.attention");
  };
  const std::string_view node = "layers.1.attention";
  expect_broken({
      {"no heads", [&](Graph& g) { attention(g).num_heads = 0; }, {node, "positive"}},
      {"uneven groups", [&](Graph& g) { attention(g).num_kv_heads = 3; }, {node, "multiple"}},
      {"qkv width", [&](Graph& g) { attention(g).num_heads = 3; }, {node, "qkv", "20", "16"}},
      {"out width",
       [](Graph& g) { value_of(g, "layers.1.attention").cols = 9; },
       {node, "out", "8", "9"}},
      {"float32 out",
       [](Graph& g) { value_of(g, "layers.1.attention").dtype = DType::float32; },
       {node, "float16"}},
      {"q_norm size",
       [](Graph& g) {
         weight_of(g, "layers.1.q_norm") = testing::weight_spec("q", WeightUse::vector, 1, 8);
       },
       {node, "q_norm", "[1, 8]"}},
      {"k_norm use",
       [](Graph& g) { weight_of(g, "layers.1.k_norm").use = WeightUse::matrix; },
       {node, "layers.1.k_norm"}},
      {"norm without epsilon", [&](Graph& g) { attention(g).norm_epsilon = 0.0f; }, {node, "eps"}},
      {"no scale", [&](Graph& g) { attention(g).scale = 0.0f; }, {node, "scale"}},
      {"negative window", [&](Graph& g) { attention(g).window = -1; }, {node, "window"}},
      {"negative softcap", [&](Graph& g) { attention(g).softcap = -1.0f; }, {node, "softcap"}},
      {"logn of 1", [&](Graph& g) { attention(g).logn_length = 1; }, {node, "logn"}},
  });
}

TEST(Validate, Rope) {
  const auto rope = [](Graph& g) -> Rope& {
    return *op_of<Attention>(g, "layers.1.attention").rope;
  };
  const auto typed = [&](Graph& g, RopeType type) -> Rope& {
    rope(g).type = type;
    rope(g).original_max_position = 16;
    rope(g).factor = 2.0;
    validate(g);
    return rope(g);
  };
  const std::string_view node = "layers.1.attention";
  expect_broken({
      {"odd", [&](Graph& g) { rope(g).rotary_dim = 3; }, {node, "rotary_dim"}},
      {"none", [&](Graph& g) { rope(g).rotary_dim = 0; }, {node, "rotary_dim"}},
      {"beyond the head", [&](Graph& g) { rope(g).rotary_dim = 6; }, {node, "rotary_dim"}},
      {"theta", [&](Graph& g) { rope(g).theta = 1.0; }, {node, "theta"}},
      {"factor", [&](Graph& g) { rope(g).factor = 0.0; }, {node, "factor"}},
      {"no trained length",
       [&](Graph& g) { typed(g, RopeType::yarn).original_max_position = 0; },
       {node, "original_max_position"}},
      {"llama3 factors",
       [&](Graph& g) { typed(g, RopeType::llama3).high_freq_factor = 0.0; },
       {node, "high_freq_factor"}},
      {"yarn betas", [&](Graph& g) { typed(g, RopeType::yarn).beta_slow = 0.0; }, {node, "beta"}},
      {"yarn attention factor",
       [&](Graph& g) { typed(g, RopeType::yarn).attention_factor = 0.0; },
       {node, "attention_factor"}},
      {"a base that cannot grow",
       [&](Graph& g) { typed(g, RopeType::dynamic).rotary_dim = 2; },
       {node, "rotary_dim"}},
  });
}

TEST(Validate, Linear) {
  expect_broken({
      {"weight",
       [](Graph& g) {
         weight_of(g, "layers.0.down") = testing::weight_spec("down", WeightUse::matrix, 8, 5);
       },
       {"layers.0.down", "[8, 5]", "[8, 6]"}},
      {"bias",
       [](Graph& g) {
         weight_of(g, "layers.0.down.bias") = testing::weight_spec("b", WeightUse::vector, 1, 6);
       },
       {"layers.0.down", "bias"}},
      {"float32 in",
       [](Graph& g) {
         auto& op = op_of<Linear>(g, "layers.0.attention_out");
         op.in = op_of<NormLinear>(g, "layers.0.gate_up").residual;
       },
       {"layers.0.attention_out", "in", "float16"}},
  });
}

/// Adds a node that reads the logits and writes a value of that dtype.
template <typename T>
Graph with_collective(const Value& out) {
  Graph graph = small_graph();
  graph.values.push_back(out);
  const ValueId out_id{static_cast<int>(graph.values.size()) - 1};
  graph.nodes.push_back({T{op_of<NormLinear>(graph, "lm_head").out, out_id}, "collective"});
  return graph;
}

TEST(Validate, Collectives) {
  const Value same{Rows::logit_rows, 10, DType::float32, "out"};
  const Value wider{Rows::logit_rows, 20, DType::float32, "out"};
  EXPECT_NO_THROW(validate(with_collective<AllReduce>(same)));
  EXPECT_NO_THROW(validate(with_collective<AllGather>(wider)));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"collective", "20"}),
                     validate(with_collective<AllReduce>(wider)));
  Value uneven = same;
  uneven.cols = 15;
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"collective", "multiple"}),
                     validate(with_collective<AllGather>(uneven)));
  Value half = wider;
  half.dtype = DType::float16;
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"collective", "float16"}),
                     validate(with_collective<AllGather>(half)));
}

TEST(Validate, SampleWantsLogits) {
  Graph graph = small_graph();
  op_of<Sample>(graph, "sample").logits = ValueId{0};
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"sample", "logit_rows"}), validate(graph));
}

}  // namespace
}  // namespace quern
