#include "model/weight_map.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/model/tiny_models.h"
#include "tests/support/expect_error.h"
#include "tests/support/log_capture.h"

namespace quern {
namespace {

using testing::LogCapture;
using testing::tiny_gpt2;
using testing::tiny_llama;
using testing::tiny_qwen;
using testing::TinyModel;

void expect_bad(const TinyModel& model, std::initializer_list<std::string_view> parts) {
  testing::expect_error(ErrorCode::bad_file, parts, [&] { model.build(); });
}

TEST(WeightMap, EveryTensorIsNeeded) {
  for (const TinyModel& whole : {tiny_gpt2(), tiny_llama(), tiny_qwen()}) {
    EXPECT_NO_THROW(whole.build());
    for (const testing::RawTensor& tensor : whole.tensors) {
      SCOPED_TRACE(tensor.name);
      TinyModel model = whole;
      model.remove(tensor.name);
      expect_bad(model, {"missing", "'" + tensor.name + "'"});
    }
  }
}

TEST(WeightMap, MissingTensorIsNamedWithItsShape) {
  TinyModel model = tiny_llama();
  model.remove("model.layers.1.self_attn.k_proj.weight");
  expect_bad(model, {"'model.layers.1.self_attn.k_proj.weight'", "missing", "[4, 8]"});
}

TEST(WeightMap, EveryShapeIsChecked) {
  for (const TinyModel& whole : {tiny_gpt2(), tiny_llama(), tiny_qwen()}) {
    for (const testing::RawTensor& tensor : whole.tensors) {
      SCOPED_TRACE(tensor.name);
      TinyModel model = whole;
      std::vector<std::int64_t> longer = tensor.shape;
      ++longer.front();
      model.reshape(tensor.name, longer);
      expect_bad(model, {"model.safetensors", "'" + tensor.name + "'", "expected", "got"});
    }
  }
}

TEST(WeightMap, ShapesAreNotOnlySizes) {
  TinyModel model = tiny_gpt2();
  model.reshape("h.0.attn.c_attn.weight", {24, 8});
  expect_bad(model, {"'h.0.attn.c_attn.weight'", "[8, 24]", "[24, 8]"});
  model = tiny_llama();
  model.reshape("model.norm.weight", {1, 8});
  expect_bad(model, {"'model.norm.weight'", "expected shape [8]", "[1, 8]"});
  model.reshape("model.norm.weight", {});
  expect_bad(model, {"'model.norm.weight'", "[]"});
}

TEST(WeightMap, FloatTypesOnly) {
  for (const std::string type : {"I32", "I64", "U8", "F8_E4M3", "BOOL"}) {
    SCOPED_TRACE(type);
    TinyModel model = tiny_llama();
    testing::RawTensor& tensor = model.tensors[model.index_of("model.norm.weight")];
    tensor.type = type;
    const std::size_t bytes = type.ends_with("64") ? 8 : type == "I32" ? 4 : 1;
    tensor.data.assign(8 * bytes, '\0');
    expect_bad(model, {"model.safetensors", "'model.norm.weight'", "F32, F16, BF16", type});
  }
  TinyModel model = tiny_llama();
  testing::RawTensor& tensor = model.tensors[model.index_of("model.norm.weight")];
  tensor.type = "BF16";
  EXPECT_NO_THROW(model.build());
  tensor.type = "F64";
  tensor.data.assign(8 * sizeof(double), '\0');
  EXPECT_NO_THROW(model.build());
}

TEST(WeightMap, UnusedTensorsAreLogged) {
  TinyModel model = tiny_llama();
  for (const char* name : {"a", "b", "score.weight", "z"}) model.add(name, {1});
  // Tables and masks of old versions are no news.
  model.add("model.layers.0.self_attn.rotary_emb.inv_freq", {4});
  model.add("model.layers.0.self_attn.rotary_emb.cos_cached", {1, 1, 4, 4});
  model.add("model.layers.0.attn.masked_bias", {1});
  const LogCapture log;
  EXPECT_NO_THROW(model.build());
  EXPECT_TRUE(log.has("the model does not use 4 tensors: 'a', 'b', 'score.weight', …"))
      << log.text();
  EXPECT_EQ(std::ranges::count(log.text(), '\n'), 1);
}

TEST(WeightMap, ZeroBiasesOfLayersAreUnused) {
  TinyModel model = tiny_llama();
  const std::string name = "model.layers.0.self_attn.q_proj.bias";
  model.add(name, {8});
  std::string& data = model.tensors[model.index_of(name)].data;
  data.assign(data.size(), '\0');
  const LogCapture log;
  EXPECT_NO_THROW(model.build());
  EXPECT_TRUE(log.has(name)) << log.text();
  data.back() = '\x3f';
  expect_bad(model, {"config.json", "no place for 1 tensor", name});
}

TEST(WeightMap, FewerLayersInTheConfigLeaveTensorsOver) {
  TinyModel model = tiny_llama();
  model.config["num_hidden_layers"] = 1;
  for (testing::RawTensor& tensor : model.tensors) tensor.data.assign(tensor.data.size(), '\1');
  expect_bad(model, {"no place for 9 tensors", "model.layers.1."});
}

TEST(WeightMap, MoreLayersInTheConfigMissTensors) {
  TinyModel model = tiny_llama();
  model.config["num_hidden_layers"] = 3;
  expect_bad(model, {"'model.layers.2.input_layernorm.weight'", "missing"});
}

TEST(WeightMap, PrefixesDoNotMix) {
  TinyModel model = tiny_gpt2();
  model.tensors[model.index_of("h.1.ln_1.bias")].name = "transformer.h.1.ln_1.bias";
  expect_bad(model, {"'h.1.ln_1.bias'", "missing"});
}

class TiedLlama : public ::testing::Test {
 protected:
  TiedLlama() : model_(tiny_llama()) { model_.config["tie_word_embeddings"] = true; }

  /// The lm_head of the tied graph must be the embedding, stored under that name.
  void expect_tied_as(const std::string& name) {
    const Graph graph = model_.build();
    const auto& embed = std::get<Embed>(graph.nodes.front().op);
    const auto& head = std::get<NormLinear>(graph.nodes.back().op);
    EXPECT_EQ(head.weight, embed.token_embedding);
    EXPECT_EQ(graph.weight(head.weight).use, WeightUse::embedding);
    EXPECT_EQ(graph.weight(head.weight).parts.at(0).name, name);
  }

  TinyModel model_;
};

TEST_F(TiedLlama, WithoutAnLmHead) {
  model_.remove("lm_head.weight");
  expect_tied_as("model.embed_tokens.weight");
}

TEST_F(TiedLlama, WithAnEqualLmHead) { expect_tied_as("model.embed_tokens.weight"); }

TEST_F(TiedLlama, WithOnlyAnLmHead) {
  model_.remove("model.embed_tokens.weight");
  expect_tied_as("lm_head.weight");
}

TEST(WeightMap, TiedGpt2WithPrefixAndOnlyAnLmHead) {
  TinyModel model = tiny_gpt2("transformer.");
  model.tensors[model.index_of("transformer.wte.weight")].name = "lm_head.weight";
  EXPECT_EQ(model.build().weights.at(0).parts.at(0).name, "lm_head.weight");
}

TEST_F(TiedLlama, WithAnotherLmHead) {
  model_.tensors[model_.index_of("lm_head.weight")].data[5] = 1;
  const LogCapture log;
  const Graph graph = model_.build();
  const WeightSpec& head = graph.weight(std::get<NormLinear>(graph.nodes.back().op).weight);
  EXPECT_EQ(head.use, WeightUse::matrix);
  EXPECT_EQ(head.parts.at(0).name, "lm_head.weight");
  EXPECT_TRUE(log.has("they are not tied")) << log.text();
}

TEST_F(TiedLlama, WithNeither) {
  model_.remove("lm_head.weight");
  model_.remove("model.embed_tokens.weight");
  expect_bad(model_, {"embed_tokens.weight'", "missing"});
}

}  // namespace
}  // namespace quern
