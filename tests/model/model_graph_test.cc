#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "graph/graph.h"
#include "model/model.h"
#include "tests/model/tiny_models.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using testing::TinyModel;

template <typename T>
const T& op_at(const Graph& graph, std::string_view name) {
  for (const Node& node : graph.nodes) {
    if (node.name == name) return std::get<T>(node.op);
  }
  throw std::runtime_error("no node " + std::string(name));
}

std::vector<std::string> part_names(const WeightSpec& spec) {
  std::vector<std::string> names;
  for (const WeightPart& part : spec.parts) names.push_back(part.name);
  return names;
}

using Names = std::vector<std::string>;

/// What every family has in common: five nodes a layer, and how the residual flows through them.
void expect_decoder(const Graph& graph, int num_layers, const std::string& up, DType dtype) {
  ASSERT_EQ(graph.nodes.size(), static_cast<std::size_t>(5 * num_layers + 2));
  EXPECT_NO_THROW(validate(graph));
  EXPECT_EQ(graph.activation_dtype, dtype);
  ValueId residual = op_at<Embed>(graph, "embed").out;
  std::optional<ValueId> delta;
  const auto expect_norm = [&](const NormLinear& op, bool writes_residual) {
    EXPECT_EQ(op.residual, residual);
    EXPECT_EQ(op.delta, delta);
    EXPECT_EQ(op.residual_out.has_value(), writes_residual);
    if (writes_residual) residual = *op.residual_out;
  };
  for (int i = 0; i < num_layers; ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    SCOPED_TRACE(prefix);
    const auto first = static_cast<std::size_t>(1 + 5 * i);
    const char* kinds[] = {"NormLinear", "Attention", "Linear", "NormLinear", "Linear"};
    const std::string names[] = {"qkv", "attention", "attention_out", up, "down"};
    for (std::size_t n = 0; n < 5; ++n) {
      EXPECT_EQ(op_name(graph.nodes[first + n].op), kinds[n]);
      EXPECT_EQ(graph.nodes[first + n].name, prefix + names[n]);
    }
    const auto& qkv = op_at<NormLinear>(graph, prefix + "qkv");
    expect_norm(qkv, i > 0);
    const auto& attention = op_at<Attention>(graph, prefix + "attention");
    EXPECT_EQ(attention.qkv, qkv.out);
    EXPECT_EQ(attention.layer, i);
    EXPECT_FLOAT_EQ(attention.scale, 1.0f / std::sqrt(static_cast<float>(attention.head_dim)));
    const auto& out = op_at<Linear>(graph, prefix + "attention_out");
    EXPECT_EQ(out.in, attention.out);
    delta = out.out;
    const auto& mlp = op_at<NormLinear>(graph, prefix + up);
    expect_norm(mlp, true);
    const Rows rows = i + 1 == num_layers ? Rows::logit_rows : Rows::tokens;
    EXPECT_EQ(mlp.in_rows, Rows::tokens);
    EXPECT_EQ(mlp.out_rows, rows);
    const auto& down = op_at<Linear>(graph, prefix + "down");
    EXPECT_EQ(down.in, mlp.out);
    EXPECT_EQ(down.rows, rows);
    delta = down.out;
  }
  const auto& head = op_at<NormLinear>(graph, "lm_head");
  expect_norm(head, false);
  EXPECT_EQ(head.in_rows, Rows::logit_rows);
  EXPECT_EQ(head.out_rows, Rows::logit_rows);
  EXPECT_EQ(graph.value(head.out).name, "logits");
  EXPECT_EQ(graph.nodes.back().name, "lm_head");
}

TEST(ModelGraph, Gpt2) {
  const Graph graph = testing::tiny_gpt2().build(DType::bfloat16);
  expect_decoder(graph, 2, "up", DType::bfloat16);
  const auto& embed = op_at<Embed>(graph, "embed");
  EXPECT_EQ(part_names(graph.weight(embed.token_embedding)), Names{"wte.weight"});
  EXPECT_EQ(part_names(graph.weight(embed.position_embedding.value())), Names{"wpe.weight"});
  EXPECT_EQ(op_at<NormLinear>(graph, "lm_head").weight, embed.token_embedding);

  const auto& qkv = op_at<NormLinear>(graph, "layers.1.qkv");
  EXPECT_EQ(qkv.norm, NormKind::layer);
  EXPECT_FLOAT_EQ(qkv.epsilon, 1e-5f);
  EXPECT_EQ(qkv.activation, Activation::none);
  const WeightSpec& weight = graph.weight(qkv.weight);
  EXPECT_EQ(part_names(weight), Names{"h.1.attn.c_attn.weight"});
  EXPECT_TRUE(weight.parts[0].transposed);
  EXPECT_EQ(weight.parts[0].shape, (std::vector<std::int64_t>{8, 24}));
  EXPECT_EQ(weight.out_features, 24);
  EXPECT_EQ(weight.in_features, 8);
  EXPECT_EQ(part_names(graph.weight(qkv.bias.value())), Names{"h.1.attn.c_attn.bias"});
  EXPECT_EQ(part_names(graph.weight(qkv.gain)), Names{"h.1.ln_1.weight"});
  EXPECT_EQ(part_names(graph.weight(qkv.norm_bias.value())), Names{"h.1.ln_1.bias"});

  const auto& up = op_at<NormLinear>(graph, "layers.0.up");
  EXPECT_EQ(up.activation, Activation::gelu_tanh);
  EXPECT_FALSE(up.gated);
  EXPECT_EQ(part_names(graph.weight(up.gain)), Names{"h.0.ln_2.weight"});
  EXPECT_FALSE(op_at<Attention>(graph, "layers.0.attention").rope);
  EXPECT_EQ(part_names(graph.weight(op_at<Linear>(graph, "layers.0.down").bias.value())),
            Names{"h.0.mlp.c_proj.bias"});
}

TEST(ModelGraph, Gpt2WithPrefixBuffersAndUntiedHead) {
  TinyModel model = testing::tiny_gpt2("transformer.");
  model.config["tie_word_embeddings"] = false;
  model.add("transformer.h.0.attn.bias", {1, 1, 16, 16});
  model.add("transformer.h.1.attn.masked_bias", {1});
  model.add("lm_head.weight", {10, 8});
  const Graph graph = model.build();
  expect_decoder(graph, 2, "up", DType::float32);
  EXPECT_EQ(part_names(graph.weight(op_at<Embed>(graph, "embed").token_embedding)),
            Names{"transformer.wte.weight"});
  EXPECT_EQ(part_names(graph.weight(op_at<NormLinear>(graph, "lm_head").weight)),
            Names{"lm_head.weight"});
}

TEST(ModelGraph, Llama) {
  const Graph graph = testing::tiny_llama().build(DType::float16);
  expect_decoder(graph, 2, "gate_up", DType::float16);
  EXPECT_FALSE(op_at<Embed>(graph, "embed").position_embedding);
  const auto& qkv = op_at<NormLinear>(graph, "layers.0.qkv");
  EXPECT_EQ(qkv.norm, NormKind::rms);
  EXPECT_FALSE(qkv.bias);
  EXPECT_FALSE(qkv.norm_bias);
  const std::string attention = "model.layers.0.self_attn.";
  EXPECT_EQ(part_names(graph.weight(qkv.weight)),
            (Names{attention + "q_proj.weight", attention + "k_proj.weight",
                   attention + "v_proj.weight"}));
  EXPECT_FALSE(graph.weight(qkv.weight).parts[0].transposed);
  const auto& op = op_at<Attention>(graph, "layers.1.attention");
  EXPECT_EQ(op.num_heads, 2);
  EXPECT_EQ(op.num_kv_heads, 1);
  EXPECT_EQ(op.head_dim, 4);
  ASSERT_TRUE(op.rope);
  EXPECT_EQ(op.rope->rotary_dim, 4);
  EXPECT_FALSE(op.q_norm);
  const auto& up = op_at<NormLinear>(graph, "layers.0.gate_up");
  EXPECT_TRUE(up.gated);
  EXPECT_EQ(up.activation, Activation::silu);
  EXPECT_EQ(part_names(graph.weight(up.weight)),
            (Names{"model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight"}));
  EXPECT_EQ(part_names(graph.weight(op_at<NormLinear>(graph, "lm_head").weight)),
            Names{"lm_head.weight"});
  EXPECT_EQ(part_names(graph.weight(op_at<NormLinear>(graph, "lm_head").gain)),
            Names{"model.norm.weight"});
}

TEST(ModelGraph, LlamaWithEveryBiasAndWiderHeads) {
  TinyModel model = testing::tiny_llama();
  model.config.update(Json{{"attention_bias", true}, {"mlp_bias", true}, {"head_dim", 6}});
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    model.reshape(layer + "self_attn.q_proj.weight", {12, 8});
    model.reshape(layer + "self_attn.k_proj.weight", {6, 8});
    model.reshape(layer + "self_attn.v_proj.weight", {6, 8});
    model.reshape(layer + "self_attn.o_proj.weight", {8, 12});
    model.add(layer + "self_attn.q_proj.bias", {12});
    model.add(layer + "self_attn.k_proj.bias", {6});
    model.add(layer + "self_attn.v_proj.bias", {6});
    model.add(layer + "self_attn.o_proj.bias", {8});
    model.add(layer + "mlp.gate_proj.bias", {6});
    model.add(layer + "mlp.up_proj.bias", {6});
    model.add(layer + "mlp.down_proj.bias", {8});
  }
  const Graph graph = model.build();
  expect_decoder(graph, 2, "gate_up", DType::float32);
  const auto& qkv = op_at<NormLinear>(graph, "layers.1.qkv");
  EXPECT_EQ(graph.weight(qkv.bias.value()).in_features, 24);
  EXPECT_EQ(graph.weight(qkv.bias.value()).parts.size(), 3u);
  EXPECT_EQ(graph.weight(op_at<NormLinear>(graph, "layers.1.gate_up").bias.value()).in_features,
            12);
  EXPECT_TRUE(op_at<Linear>(graph, "layers.1.attention_out").bias);
  EXPECT_TRUE(op_at<Linear>(graph, "layers.1.down").bias);
}

TEST(ModelGraph, LlamaWithoutPrefixAndWithOldBuffers) {
  TinyModel model = testing::tiny_llama();
  for (testing::RawTensor& tensor : model.tensors) {
    if (tensor.name.starts_with("model.")) tensor.name.erase(0, 6);
  }
  model.add("layers.0.self_attn.rotary_emb.inv_freq", {2});
  EXPECT_EQ(part_names(model.build().weights[0]), Names{"embed_tokens.weight"});
}

TEST(ModelGraph, Qwen2HasOnlyAttentionBiases) {
  TinyModel model = testing::tiny_llama();
  model.config["model_type"] = "qwen2";
  model.config.update(
      Json{{"use_sliding_window", true}, {"sliding_window", 5}, {"max_window_layers", 1}});
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    model.add(layer + "self_attn.q_proj.bias", {8});
    model.add(layer + "self_attn.k_proj.bias", {4});
    model.add(layer + "self_attn.v_proj.bias", {4});
  }
  const Graph graph = model.build();
  expect_decoder(graph, 2, "gate_up", DType::float32);
  EXPECT_TRUE(op_at<NormLinear>(graph, "layers.0.qkv").bias);
  EXPECT_FALSE(op_at<Linear>(graph, "layers.0.attention_out").bias);
  EXPECT_FALSE(op_at<NormLinear>(graph, "layers.0.gate_up").bias);
  EXPECT_EQ(op_at<Attention>(graph, "layers.0.attention").window, 0);
  EXPECT_EQ(op_at<Attention>(graph, "layers.1.attention").window, 5);
}

TEST(ModelGraph, Qwen3NormsQueriesAndKeys) {
  TinyModel model = testing::tiny_llama();
  model.config["model_type"] = "qwen3";
  model.config["head_dim"] = 4;
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    model.add(layer + "self_attn.q_norm.weight", {4});
    model.add(layer + "self_attn.k_norm.weight", {4});
  }
  const Graph graph = model.build();
  expect_decoder(graph, 2, "gate_up", DType::float32);
  const auto& attention = op_at<Attention>(graph, "layers.1.attention");
  EXPECT_EQ(part_names(graph.weight(attention.q_norm.value())),
            Names{"model.layers.1.self_attn.q_norm.weight"});
  EXPECT_EQ(part_names(graph.weight(attention.k_norm.value())),
            Names{"model.layers.1.self_attn.k_norm.weight"});
  EXPECT_FLOAT_EQ(attention.norm_epsilon, 1e-6f);
  EXPECT_FALSE(op_at<NormLinear>(graph, "layers.0.qkv").bias);
}

TEST(ModelGraph, QwenHasItsGateInW2) {
  const Graph graph = testing::tiny_qwen().build();
  expect_decoder(graph, 2, "gate_up", DType::float32);
  const auto& up = op_at<NormLinear>(graph, "layers.1.gate_up");
  EXPECT_EQ(part_names(graph.weight(up.weight)),
            (Names{"transformer.h.1.mlp.w2.weight", "transformer.h.1.mlp.w1.weight"}));
  EXPECT_EQ(graph.value(up.out).cols, 6);
  const auto& attention = op_at<Attention>(graph, "layers.1.attention");
  EXPECT_EQ(attention.rope.value().type, RopeType::qwen_ntk);
  EXPECT_EQ(attention.rope->original_max_position, 16);
  EXPECT_EQ(attention.logn_length, 16);
  EXPECT_TRUE(op_at<NormLinear>(graph, "layers.0.qkv").bias);
}

TEST(ModelGraph, UnknownModelType) {
  const testing::TempFolder folder;
  testing::write_file(folder / "model.safetensors",
                      testing::make_safetensors(testing::tiny_llama().tensors));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  ModelConfig config;
  config.model_type = "mamba";
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"'mamba'", "gpt2, llama"}),
                     build_graph(config, checkpoint, DType::float32));
}

TEST(ModelGraph, DemoModelsUseEveryTensorOnce) {
  for (const std::string name : {"tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"}) {
    SCOPED_TRACE(name);
    const auto folder = testing::demo_model(name);
    const Checkpoint checkpoint = Checkpoint::open(folder);
    const Graph graph = build_graph(load_model_config(folder), checkpoint, DType::float32);
    expect_decoder(graph, 4, name == "tale-gpt2" ? "up" : "gate_up", DType::float32);
    std::set<std::string> used;
    for (const WeightSpec& spec : graph.weights) {
      for (const std::string& part : part_names(spec)) EXPECT_TRUE(used.insert(part).second);
    }
    EXPECT_EQ(used.size(), checkpoint.tensors().size());
  }
}

}  // namespace
}  // namespace quern
