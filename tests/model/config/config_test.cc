#include "model/config/config.h"

#include <gtest/gtest.h>

#include "model/model.h"
#include "tests/model/config/config_files.h"
#include "tests/model/real_configs.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using testing::config_of;

struct Sizes {
  int vocab, hidden, intermediate, layers, heads, kv_heads, head_dim, positions;
};

void expect_sizes(const ModelConfig& config, const Sizes& sizes) {
  EXPECT_EQ(config.vocab_size, sizes.vocab);
  EXPECT_EQ(config.hidden_size, sizes.hidden);
  EXPECT_EQ(config.intermediate_size, sizes.intermediate);
  EXPECT_EQ(config.num_hidden_layers, sizes.layers);
  EXPECT_EQ(config.num_attention_heads, sizes.heads);
  EXPECT_EQ(config.num_key_value_heads, sizes.kv_heads);
  EXPECT_EQ(config.head_dim, sizes.head_dim);
  EXPECT_EQ(config.max_position_embeddings, sizes.positions);
}

void expect_biases(const ModelConfig& config, bool attention, bool attention_out, bool mlp) {
  EXPECT_EQ(config.attention_bias, attention);
  EXPECT_EQ(config.attention_out_bias, attention_out);
  EXPECT_EQ(config.mlp_bias, mlp);
}

std::vector<int> windows(int count, int value) {
  return std::vector<int>(static_cast<std::size_t>(count), value);
}

TEST(Config, Gpt2) {
  const ModelConfig config = config_of(testing::kGpt2);
  EXPECT_EQ(config.model_type, "gpt2");
  EXPECT_EQ(config.architecture, "GPT2LMHeadModel");
  expect_sizes(config, {50257, 768, 3072, 12, 12, 12, 64, 1024});
  EXPECT_FLOAT_EQ(config.norm_epsilon, 1e-5f);
  EXPECT_EQ(config.activation, Activation::gelu_tanh);
  EXPECT_TRUE(config.tie_word_embeddings);
  expect_biases(config, true, true, true);
  EXPECT_FALSE(config.qk_norm);
  EXPECT_FALSE(config.rope);
  EXPECT_EQ(config.layer_windows, windows(12, 0));
  EXPECT_EQ(config.logn_length, 0);
  EXPECT_FALSE(config.dtype);
  EXPECT_EQ(config.bos_token_id, 50256);
  EXPECT_EQ(config.eos_token_ids, std::vector<std::int32_t>{50256});
}

TEST(Config, Gpt2Medium) {
  expect_sizes(config_of(testing::kGpt2Medium), {50257, 1024, 4096, 24, 16, 16, 64, 1024});
}

TEST(Config, Gpt2UnderCanonicalNames) {
  const ModelConfig config = config_of(testing::kGpt2, R"({
      "n_embd": null, "n_layer": null, "n_head": null, "n_positions": null, "n_ctx": null,
      "hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4,
      "max_position_embeddings": 128, "n_inner": 500, "activation_function": "relu",
      "tie_word_embeddings": false, "reorder_and_upcast_attn": true})");
  expect_sizes(config, {50257, 256, 500, 3, 4, 4, 64, 128});
  EXPECT_EQ(config.activation, Activation::relu);
  EXPECT_FALSE(config.tie_word_embeddings);
}

TEST(Config, Gpt2OnlyWithNctx) {
  EXPECT_EQ(
      config_of(testing::kGpt2, R"({"n_positions": null, "n_ctx": 512})").max_position_embeddings,
      512);
}

TEST(Config, Llama7B) {
  const ModelConfig config = config_of(testing::kLlama7B);
  EXPECT_EQ(config.model_type, "llama");
  expect_sizes(config, {32000, 4096, 11008, 32, 32, 32, 128, 2048});
  EXPECT_FLOAT_EQ(config.norm_epsilon, 1e-6f);
  EXPECT_EQ(config.activation, Activation::silu);
  EXPECT_FALSE(config.tie_word_embeddings);
  expect_biases(config, false, false, false);
  ASSERT_TRUE(config.rope);
  EXPECT_EQ(config.rope->type, RopeType::standard);
  EXPECT_EQ(config.rope->theta, 10000.0);
  EXPECT_EQ(config.rope->rotary_dim, 128);
  EXPECT_EQ(config.dtype, DType::float16);
  EXPECT_EQ(config.bos_token_id, 0);
}

TEST(Config, Llama3) {
  const ModelConfig config = config_of(testing::kLlama3_8B);
  expect_sizes(config, {128256, 4096, 14336, 32, 32, 8, 128, 8192});
  EXPECT_EQ(config.rope->theta, 500000.0);
  EXPECT_EQ(config.rope->type, RopeType::standard);
  EXPECT_EQ(config.dtype, DType::bfloat16);
  EXPECT_EQ(config.eos_token_ids, std::vector<std::int32_t>{128001});
}

TEST(Config, Llama31) {
  const ModelConfig config = config_of(testing::kLlama31_8BInstruct);
  expect_sizes(config, {128256, 4096, 14336, 32, 32, 8, 128, 131072});
  EXPECT_EQ(config.rope->type, RopeType::llama3);
  EXPECT_EQ(config.eos_token_ids, (std::vector<std::int32_t>{128001, 128008, 128009}));
}

TEST(Config, LlamaSwitches) {
  const ModelConfig config =
      config_of(testing::kLlama3_8B, R"({"attention_bias": true, "mlp_bias": true, "head_dim": 64,
                               "tie_word_embeddings": true, "hidden_act": "gelu"})");
  expect_biases(config, true, true, true);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.activation, Activation::gelu);
}

TEST(Config, Qwen) {
  const ModelConfig config = config_of(testing::kQwen7BChat);
  EXPECT_EQ(config.model_type, "qwen");
  expect_sizes(config, {151936, 4096, 11008, 32, 32, 32, 128, 32768});
  EXPECT_FLOAT_EQ(config.norm_epsilon, 1e-6f);
  EXPECT_EQ(config.activation, Activation::silu);
  expect_biases(config, true, false, false);
  ASSERT_TRUE(config.rope);
  EXPECT_EQ(config.rope->type, RopeType::qwen_ntk);
  EXPECT_EQ(config.rope->original_max_position, 8192);
  EXPECT_EQ(config.rope->rotary_dim, 128);
  EXPECT_EQ(config.rope->theta, 10000.0);
  EXPECT_EQ(config.logn_length, 8192);
  EXPECT_FALSE(config.dtype);
  EXPECT_TRUE(config.eos_token_ids.empty());
}

TEST(Config, QwenFirstRelease) {
  const ModelConfig config = config_of(testing::kQwen7BFirstRelease);
  expect_sizes(config, {151936, 4096, 11008, 32, 32, 32, 128, 8192});
  EXPECT_EQ(config.rope->type, RopeType::standard);
  EXPECT_EQ(config.logn_length, 0);
  EXPECT_EQ(config.dtype, DType::bfloat16);
}

TEST(Config, QwenRotatesAPartOfTheHead) {
  EXPECT_EQ(config_of(testing::kQwen7BChat, R"({"rotary_pct": 0.25})").rope->rotary_dim, 32);
}

TEST(Config, DtypeNameGoesBeforeQwenFlags) {
  EXPECT_EQ(config_of(testing::kQwen7BChat, R"({"fp16": true})").dtype, DType::float16);
  EXPECT_EQ(config_of(testing::kQwen7BChat, R"({"fp32": true})").dtype, DType::float32);
  EXPECT_EQ(config_of(testing::kQwen7BChat, R"({"fp16": true, "torch_dtype": "bfloat16"})").dtype,
            DType::bfloat16);
}

TEST(Config, Qwen15) {
  const ModelConfig config = config_of(testing::kQwen15_05B);
  EXPECT_EQ(config.model_type, "qwen2");
  expect_sizes(config, {151936, 1024, 2816, 24, 16, 16, 64, 32768});
  expect_biases(config, true, false, false);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.rope->theta, 1e6);
  EXPECT_EQ(config.layer_windows, windows(24, 0));
}

TEST(Config, Qwen25) {
  const ModelConfig config = config_of(testing::kQwen25_7B);
  expect_sizes(config, {152064, 3584, 18944, 28, 28, 4, 128, 131072});
  EXPECT_FALSE(config.tie_word_embeddings);
}

TEST(Config, Qwen3) {
  const ModelConfig config = config_of(testing::kQwen3_06B);
  EXPECT_EQ(config.model_type, "qwen3");
  expect_sizes(config, {151936, 1024, 3072, 28, 16, 8, 128, 40960});
  expect_biases(config, false, false, false);
  EXPECT_TRUE(config.qk_norm);
  EXPECT_EQ(config.rope->rotary_dim, 128);
  // Without the key, 128 is Qwen3Config's own default, not hidden_size / num_attention_heads.
  EXPECT_EQ(config_of(testing::kQwen3_06B, R"({"head_dim": null})").head_dim, 128);
}

TEST(Config, Qwen3WithBiases) {
  expect_biases(config_of(testing::kQwen3_06B, R"({"attention_bias": true})"), true, true, false);
}

TEST(Config, SlidingWindowsFromMaxWindowLayers) {
  const ModelConfig config =
      config_of(testing::kQwen15_05B, R"({"use_sliding_window": true, "sliding_window": 4096})");
  std::vector<int> expected = windows(24, 0);
  for (std::size_t i = 21; i < 24; ++i) expected[i] = 4096;
  EXPECT_EQ(config.layer_windows, expected);
  EXPECT_EQ(
      config_of(testing::kQwen15_05B, R"({"use_sliding_window": true, "max_window_layers": 99})")
          .layer_windows,
      windows(24, 0));
}

TEST(Config, SlidingWindowsFromLayerTypes) {
  const ModelConfig config = config_of(testing::kQwen15_05B, R"({
      "use_sliding_window": true, "sliding_window": 8, "num_hidden_layers": 3,
      "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]})");
  EXPECT_EQ(config.layer_windows, (std::vector<int>{8, 0, 8}));
}

TEST(Config, ModelTypeFromTheArchitecture) {
  EXPECT_EQ(config_of(testing::kQwen3_06B, R"({"model_type": null})").model_type, "qwen3");
  EXPECT_EQ(config_of(testing::kQwen3_06B, R"({"architectures": null})").architecture, "");
  EXPECT_EQ(config_of(testing::kQwen3_06B, R"({"architectures": []})").model_type, "qwen3");
}

TEST(Config, DtypeSpellings) {
  EXPECT_EQ(config_of(testing::kLlama3_8B, R"({"torch_dtype": null, "dtype": "float32"})").dtype,
            DType::float32);
  EXPECT_EQ(config_of(testing::kLlama3_8B, R"({"dtype": "float16"})").dtype, DType::float16);
  EXPECT_EQ(config_of(testing::kLlama3_8B, R"({"torch_dtype": null})").dtype, std::nullopt);
  const std::pair<const char*, std::optional<DType>> names[] = {
      {"auto", std::nullopt},          {"torch.float16", DType::float16},
      {"half", DType::float16},        {"torch.bfloat16", DType::bfloat16},
      {"float64", DType::float32},     {"float", DType::float32},
      {"torch.double", DType::float32}};
  for (const auto& [name, dtype] : names) {
    const Json patch = {{"torch_dtype", name}};
    EXPECT_EQ(config_of(testing::kLlama3_8B, patch.dump()).dtype, dtype) << name;
  }
}

TEST(Config, AbsentKeysAreThoseOfTheClass) {
  const auto of_type = [](const char* type) {
    return parse_model_config(Json{{"model_type", type}}, "config.json");
  };
  expect_sizes(of_type("gpt2"), {50257, 768, 3072, 12, 12, 12, 64, 1024});
  expect_sizes(of_type("llama"), {32000, 4096, 11008, 32, 32, 32, 128, 2048});
  expect_sizes(of_type("mistral"), {32000, 4096, 14336, 32, 32, 8, 128, 131072});
  expect_sizes(of_type("qwen2"), {151936, 4096, 22016, 32, 32, 32, 128, 32768});
  expect_sizes(of_type("qwen3"), {151936, 4096, 22016, 32, 32, 32, 128, 32768});
  EXPECT_FLOAT_EQ(of_type("gpt2").norm_epsilon, 1e-5f);
  EXPECT_FLOAT_EQ(of_type("llama").norm_epsilon, 1e-6f);
  EXPECT_EQ(of_type("mistral").layer_windows, windows(32, 4096));
  EXPECT_EQ(of_type("gpt2").eos_token_ids, std::vector<std::int32_t>{50256});
  EXPECT_EQ(of_type("llama").eos_token_ids, std::vector<std::int32_t>{2});
  EXPECT_EQ(of_type("mistral").bos_token_id, 1);
  EXPECT_TRUE(of_type("qwen2").eos_token_ids.empty());
  const Json without_eos = {{"model_type", "llama"}, {"eos_token_id", nullptr}};
  EXPECT_TRUE(parse_model_config(without_eos, "config.json").eos_token_ids.empty());
}

TEST(Config, ArchitecturesOfAFamily) {
  for (const char* name : {"LlamaModel", "LlamaForCausalLM", "SmallLanguageForCausalLM"}) {
    const Json patch = {{"architectures", {name}}};
    EXPECT_EQ(config_of(testing::kLlama3_8B, patch.dump()).model_type, "llama") << name;
  }
}

TEST(Config, Gpt2AttentionScalings) {
  EXPECT_TRUE(config_of(testing::kGpt2).scale_attention);
  EXPECT_FALSE(config_of(testing::kGpt2, R"({"scale_attn_weights": false})").scale_attention);
  EXPECT_TRUE(config_of(testing::kGpt2, R"({"scale_attn_by_inverse_layer_idx": true})")
                  .scale_by_inverse_layer);
}

TEST(Config, EveryActivationName) {
  const std::pair<const char*, Activation> names[] = {{"silu", Activation::silu},
                                                      {"swish", Activation::silu},
                                                      {"gelu", Activation::gelu},
                                                      {"gelu_python", Activation::gelu},
                                                      {"gelu_new", Activation::gelu_tanh},
                                                      {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                      {"gelu_python_tanh", Activation::gelu_tanh},
                                                      {"gelu_fast", Activation::gelu_tanh},
                                                      {"gelu_accurate", Activation::gelu_tanh},
                                                      {"quick_gelu", Activation::quick_gelu},
                                                      {"linear", Activation::none},
                                                      {"relu2", Activation::relu_squared},
                                                      {"tanh", Activation::tanh},
                                                      {"relu", Activation::relu}};
  for (const auto& [name, activation] : names) {
    const Json patch = {{"hidden_act", name}};
    EXPECT_EQ(config_of(testing::kLlama3_8B, patch.dump()).activation, activation) << name;
  }
}

TEST(Config, KnownModelTypes) {
  EXPECT_EQ(known_model_types(),
            (std::vector<std::string_view>{"gpt2", "llama", "mistral", "qwen", "qwen2", "qwen3"}));
}

TEST(Config, MissingFile) {
  const testing::TempFolder folder;
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"config.json"}), load_model_config(folder.path()));
}

class DemoConfig : public ::testing::Test {
 protected:
  static ModelConfig load(const char* name) { return load_model_config(testing::demo_model(name)); }
};

TEST_F(DemoConfig, Gpt2) {
  const ModelConfig config = load("tale-gpt2");
  expect_sizes(config, {2048, 192, 768, 4, 3, 3, 64, 1024});
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.dtype, DType::float16);
}

TEST_F(DemoConfig, Llama) { expect_sizes(load("tale-llama"), {2048, 192, 512, 4, 3, 1, 64, 2048}); }

TEST_F(DemoConfig, BothQwensDescribeTheSameWeights) {
  const ModelConfig qwen = load("tale-qwen");
  const ModelConfig qwen2 = load("tale-qwen2");
  expect_sizes(qwen, {2048, 192, 512, 4, 3, 3, 64, 2048});
  expect_sizes(qwen2, {2048, 192, 512, 4, 3, 3, 64, 2048});
  EXPECT_EQ(qwen.norm_epsilon, qwen2.norm_epsilon);
  EXPECT_EQ(qwen.dtype, DType::float16);
  EXPECT_EQ(qwen2.dtype, DType::float16);
  EXPECT_EQ(qwen.rope->type, RopeType::qwen_ntk);
  EXPECT_EQ(qwen2.rope->type, RopeType::standard);
  EXPECT_EQ(qwen2.eos_token_ids, std::vector<std::int32_t>{1842});
}

}  // namespace
}  // namespace quern
