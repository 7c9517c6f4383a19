#include "model/weight_map.h"

#include <gtest/gtest.h>

#include "tests/model/tiny_models.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

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
  for (const std::string type : {"I32", "I64", "U8", "F8_E4M3", "BOOL", "F64"}) {
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
}

TEST(WeightMap, LeftOverTensors) {
  TinyModel model = tiny_llama();
  model.add("model.layers.2.mlp.up_proj.weight", {6, 8});
  expect_bad(model, {"1 tensor left over", "model.layers.2.mlp.up_proj.weight"});
  model.add("a", {1});
  model.add("b", {1});
  model.add("c", {1});
  expect_bad(model, {"4 tensors left over", "a, b, c, …"});
}

TEST(WeightMap, FewerLayersInTheConfigLeaveTensorsOver) {
  TinyModel model = tiny_llama();
  model.config["num_hidden_layers"] = 1;
  expect_bad(model, {"9 tensors left over", "model.layers.1."});
}

TEST(WeightMap, MoreLayersInTheConfigMissTensors) {
  TinyModel model = tiny_llama();
  model.config["num_hidden_layers"] = 3;
  expect_bad(model, {"'model.layers.2.input_layernorm.weight'", "missing"});
}

TEST(WeightMap, UnexpectedBiasIsLeftOver) {
  TinyModel model = tiny_llama();
  model.add("model.layers.0.self_attn.q_proj.bias", {8});
  expect_bad(model, {"left over", "model.layers.0.self_attn.q_proj.bias"});
}

TEST(WeightMap, PrefixesDoNotMix) {
  TinyModel model = tiny_gpt2();
  model.tensors[model.index_of("h.1.ln_1.bias")].name = "transformer.h.1.ln_1.bias";
  expect_bad(model, {"'h.1.ln_1.bias'", "missing"});
}

TEST(WeightMap, BuffersOfOtherFamiliesAreLeftOver) {
  TinyModel model = tiny_llama();
  model.add("model.layers.0.attn.masked_bias", {1});
  expect_bad(model, {"left over", "masked_bias"});
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
  expect_bad(model_, {"'lm_head.weight'", "'model.embed_tokens.weight'", "tie_word_embeddings"});
}

TEST_F(TiedLlama, WithNeither) {
  model_.remove("lm_head.weight");
  model_.remove("model.embed_tokens.weight");
  expect_bad(model_, {"embed_tokens.weight'", "missing"});
}

}  // namespace
}  // namespace quern
