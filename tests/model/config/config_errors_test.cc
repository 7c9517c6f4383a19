#include <gtest/gtest.h>

#include "model/config/config.h"
#include "tests/model/config/config_files.h"
#include "tests/model/real_configs.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using testing::config_of;

/// A patch that spoils a config, and what the error must name beside the file.
struct Spoiled {
  const char* patch;
  std::initializer_list<std::string_view> parts;
};

void expect_errors(ErrorCode code, const char* config, std::initializer_list<Spoiled> cases) {
  for (const Spoiled& spoiled : cases) {
    SCOPED_TRACE(spoiled.patch);
    testing::expect_error(code, spoiled.parts, [&] { config_of(config, spoiled.patch); });
    testing::expect_error(code, {"config.json"}, [&] { config_of(config, spoiled.patch); });
  }
}

TEST(ConfigErrors, UnknownModels) {
  expect_errors(
      ErrorCode::unsupported, testing::kLlama3_8B,
      {{R"({"model_type": "mamba"})",
        {"model_type", "'mamba'", "gpt2, llama, mistral, qwen, qwen2, qwen3"}},
       {R"({"model_type": ""})", {"model_type", "''"}},
       {R"({"architectures": ["LlamaForSequenceClassification"]})",
        {"architectures", "'LlamaForSequenceClassification'", "LlamaForCausalLM for llama"}},
       {R"({"architectures": ["Qwen2ForCausalLM"]})", {"architectures", "LlamaForCausalLM"}},
       {R"({"model_type": null, "architectures": ["MambaForCausalLM"]})",
        {"architectures", "'MambaForCausalLM'", "Qwen3ForCausalLM"}}});
  expect_errors(ErrorCode::bad_file, testing::kLlama3_8B,
                {{R"({"model_type": null, "architectures": null})", {"model_type", "nothing"}},
                 {R"({"model_type": 7})", {"model_type", "7"}},
                 {R"({"architectures": "LlamaForCausalLM"})", {"architectures", "list"}},
                 {R"({"architectures": [3]})", {"architectures", "[3]"}},
                 {R"({"architectures": [""]})", {"architectures"}}});
}

TEST(ConfigErrors, NoObject) {
  const testing::TempFolder folder;
  testing::write_file(folder / "config.json", "[1, 2]");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"config.json", "an object"}),
                     load_model_config(folder.path()));
  testing::write_file(folder / "config.json", "{\"model_type\": ");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"config.json"}), load_model_config(folder.path()));
}

/// Each size of a family, missing and out of range.
void expect_size_errors(const char* config, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    SCOPED_TRACE(key);
    for (const Json& bad : {Json(0), Json(-1), Json(INT64_MAX), Json(UINT64_MAX), Json(1.5),
                            Json("12"), Json(true), Json::array({1})}) {
      const Json patch = {{key, bad}};
      testing::expect_error(ErrorCode::bad_file, {"config.json", key, bad.dump()},
                            [&] { config_of(config, patch.dump()); });
    }
  }
}

TEST(ConfigErrors, Sizes) {
  expect_size_errors(testing::kGpt2,
                     {"vocab_size", "n_embd", "n_layer", "n_head", "n_positions", "n_inner"});
  expect_size_errors(
      testing::kLlama3_8B,
      {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
       "num_key_value_heads", "head_dim", "max_position_embeddings"});
  expect_size_errors(
      testing::kQwen7BChat,
      {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
       "kv_channels", "max_position_embeddings", "seq_length"});
}

TEST(ConfigErrors, MissingKeys) {
  // The families of transformers have a default for every key.
  expect_errors(ErrorCode::bad_file, testing::kQwen7BChat,
                {{R"({"kv_channels": null})", {"kv_channels", "nothing"}},
                 {R"({"seq_length": null})", {"seq_length", "nothing"}},
                 {R"({"rotary_emb_base": null})", {"rotary_emb_base", "nothing"}},
                 {R"({"use_dynamic_ntk": null})", {"use_dynamic_ntk", "nothing"}},
                 {R"({"use_logn_attn": null})", {"use_logn_attn", "nothing"}}});
}

TEST(ConfigErrors, SizesThatDoNotFitTogether) {
  expect_errors(ErrorCode::bad_file, testing::kGpt2,
                {{R"({"n_head": 7})", {"n_embd", "multiple", "7", "768"}}});
  expect_errors(ErrorCode::bad_file, testing::kLlama3_8B,
                {{R"({"num_attention_heads": 31, "num_key_value_heads": 31})",
                  {"hidden_size", "multiple", "31", "4096"}},
                 {R"({"num_key_value_heads": 5})", {"num_key_value_heads", "divisor", "32"}},
                 {R"({"num_key_value_heads": 64})", {"num_key_value_heads", "divisor", "32"}},
                 {R"({"num_attention_heads": 1, "num_key_value_heads": 1, "hidden_size": 8192})",
                  {"hidden_size", "4096"}},
                 {R"({"head_dim": 63})", {"head_dim", "even", "63"}},
                 {R"({"hidden_size": 32, "num_attention_heads": 32})", {"hidden_size", "even"}}});
  expect_errors(ErrorCode::bad_file, testing::kQwen7BChat,
                {{R"({"intermediate_size": 22017})", {"intermediate_size", "even", "22017"}},
                 {R"({"rotary_pct": 0.01})", {"rotary_pct", "even"}},
                 {R"({"rotary_pct": 1.5})", {"rotary_pct", "1.5"}},
                 {R"({"kv_channels": 2})", {"rotary_pct", "at least 4"}}});
}

TEST(ConfigErrors, Numbers) {
  expect_errors(ErrorCode::bad_file, testing::kLlama3_8B,
                {{R"({"rms_norm_eps": 0})", {"rms_norm_eps", "0"}},
                 {R"({"rms_norm_eps": -1e-5})", {"rms_norm_eps"}},
                 {R"({"rms_norm_eps": 2})", {"rms_norm_eps", "2"}},
                 {R"({"rms_norm_eps": 1e-60})", {"rms_norm_eps"}},
                 {R"({"rms_norm_eps": "small"})", {"rms_norm_eps", "small"}},
                 {R"({"tie_word_embeddings": 1})", {"tie_word_embeddings", "true or false"}},
                 {R"({"attention_bias": "no"})", {"attention_bias"}},
                 {R"({"bos_token_id": -2})", {"bos_token_id", "-2"}},
                 {R"({"bos_token_id": 4294967296})", {"bos_token_id"}},
                 {R"({"eos_token_id": -2})", {"eos_token_id", "-2"}},
                 {R"({"eos_token_id": 1.5})", {"eos_token_id", "1.5"}},
                 {R"({"eos_token_id": "</s>"})", {"eos_token_id"}},
                 {R"({"eos_token_id": [1, "x"]})", {"eos_token_id"}},
                 {R"({"torch_dtype": 16})", {"torch_dtype", "16"}},
                 {R"({"hidden_act": 3})", {"hidden_act", "3"}}});
}

TEST(ConfigErrors, UnsupportedMathematics) {
  expect_errors(
      ErrorCode::unsupported, testing::kGpt2,
      {{R"({"add_cross_attention": true})", {"add_cross_attention"}},
       {R"({"activation_function": "prelu"})", {"activation_function", "'prelu'", "gelu_new"}},
       {R"({"is_encoder_decoder": true})", {"is_encoder_decoder"}}});
  expect_errors(ErrorCode::unsupported, testing::kLlama3_8B,
                {{R"({"hidden_act": "xielu"})", {"hidden_act", "'xielu'", "silu"}},
                 {R"({"quantization_config": {"quant_method": "bitsandbytes"}})",
                  {"quantization_config", "bitsandbytes"}},
                 {R"({"torch_dtype": "float8_e4m3fn"})", {"torch_dtype", "float8_e4m3fn"}},
                 {R"({"torch_dtype": "int8"})", {"torch_dtype", "float32, float16 or bfloat16"}}});
  expect_errors(ErrorCode::unsupported, testing::kQwen7BChat,
                {{R"({"no_bias": false})", {"no_bias"}},
                 {R"({"scale_attn_weights": false})", {"scale_attn_weights"}},
                 {R"({"apply_residual_connection_post_layernorm": true})",
                  {"apply_residual_connection_post_layernorm"}},
                 {R"({"use_cache_quantization": true})", {"use_cache_quantization"}}});
  expect_errors(ErrorCode::unsupported, testing::kQwen25_7B,
                {{R"({"use_mrope": true})", {"use_mrope"}}});
}

TEST(ConfigErrors, SlidingWindows) {
  expect_errors(
      ErrorCode::bad_file, testing::kQwen15_05B,
      {{R"({"use_sliding_window": true, "sliding_window": 0})", {"sliding_window", "0"}},
       {R"({"use_sliding_window": true, "max_window_layers": -1})", {"max_window_layers", "-1"}},
       {R"({"layer_types": ["full_attention"]})", {"layer_types", "24 strings"}},
       {R"({"layer_types": "full_attention"})", {"layer_types"}},
       {R"({"num_hidden_layers": 1, "layer_types": [1]})", {"layer_types"}},
       {R"({"num_hidden_layers": 1, "layer_types": ["sliding_attention"]})",
        {"use_sliding_window", "false"}}});
  expect_errors(ErrorCode::unsupported, testing::kQwen15_05B,
                {{R"({"num_hidden_layers": 1, "layer_types": ["chunked_attention"]})",
                  {"layer_types", "'chunked_attention'"}}});
}

}  // namespace
}  // namespace quern
