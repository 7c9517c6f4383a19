#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/error.h"
#include "model/config/config_keys.h"
#include "model/config/config_rope.h"
#include "model/decoder.h"
#include "model/families/families.h"
#include "model/weight_map.h"

namespace quern {
namespace {

/// What a config class has for keys that are absent.
struct Defaults {
  int vocab_size;
  int hidden_size = 4096;
  int intermediate_size;
  int num_hidden_layers = 32;
  int num_attention_heads = 32;
  std::optional<int> num_key_value_heads;  ///< none: as many as attention heads
  std::optional<int> head_dim;             ///< none: hidden_size / num_attention_heads
  int max_position_embeddings;
};

// Source: HF LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config.
constexpr Defaults kLlamaDefaults{.vocab_size = 32000,
                                  .intermediate_size = 11008,
                                  .num_key_value_heads = std::nullopt,
                                  .head_dim = std::nullopt,
                                  .max_position_embeddings = 2048};
constexpr Defaults kMistralDefaults{.vocab_size = 32000,
                                    .intermediate_size = 14336,
                                    .num_key_value_heads = 8,
                                    .head_dim = std::nullopt,
                                    .max_position_embeddings = 4096 * 32};
constexpr Defaults kQwen2Defaults{.vocab_size = 151936,
                                  .intermediate_size = 22016,
                                  .num_key_value_heads = 32,
                                  .head_dim = std::nullopt,
                                  .max_position_embeddings = 32768};
constexpr Defaults kQwen3Defaults{.vocab_size = 151936,
                                  .intermediate_size = 22016,
                                  .num_key_value_heads = 32,
                                  .head_dim = 128,
                                  .max_position_embeddings = 32768};
constexpr int kDefaultWindow = 4096;

/// The keys that all of them share.
void read_common(const JsonObject& object, const Defaults& absent, ModelConfig& config) {
  config.vocab_size = read_size(object, {"vocab_size"}, kMaxVocabSize, absent.vocab_size);
  config.hidden_size = read_size(object, {"hidden_size"}, kMaxWidth, absent.hidden_size);
  config.intermediate_size =
      read_size(object, {"intermediate_size"}, kMaxWidth, absent.intermediate_size);
  config.num_hidden_layers =
      read_size(object, {"num_hidden_layers"}, kMaxLayers, absent.num_hidden_layers);
  config.num_attention_heads =
      read_size(object, {"num_attention_heads"}, kMaxHeads, absent.num_attention_heads);
  // null means as many as attention heads in every class.
  const bool has_kv_heads = object.json().contains("num_key_value_heads");
  const int absent_kv_heads = absent.num_key_value_heads && !has_kv_heads
                                  ? *absent.num_key_value_heads
                                  : config.num_attention_heads;
  config.num_key_value_heads =
      read_size(object, {"num_key_value_heads"}, kMaxHeads, absent_kv_heads);
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    object.reject("num_key_value_heads",
                  fmt::format("a divisor of num_attention_heads ({})", config.num_attention_heads));
  }
  const auto head_dim = read_optional_size(object, "head_dim", kMaxHeadDim);
  if (head_dim || absent.head_dim) {
    config.head_dim = head_dim ? *head_dim : *absent.head_dim;
  } else {
    config.head_dim = divided_head_dim(object, "hidden_size", config);
  }
  // The first LLaMA checkpoints say max_sequence_length.
  config.max_position_embeddings =
      read_size(object, {"max_position_embeddings", "max_sequence_length"}, kMaxPositions,
                absent.max_position_embeddings);
  config.norm_epsilon = read_epsilon(object, "rms_norm_eps", 1e-6);
  config.activation = read_activation(object, "hidden_act", Activation::silu);
  config.tie_word_embeddings = object.boolean("tie_word_embeddings").value_or(false);
  config.rope = read_rope(object, config);
}

/// The key's window; none where it is null.
std::optional<int> read_window(const JsonObject& object) {
  const auto window = read_optional_size(object, "sliding_window", kMaxPositions);
  if (window || object.json().contains("sliding_window")) return window;
  return kDefaultWindow;
}

/// Which layers slide: as layer_types says, else those from max_window_layers on.
std::vector<bool> read_sliding_layers(const JsonObject& object, int num_layers, bool enabled) {
  std::vector<bool> sliding(static_cast<std::size_t>(num_layers), false);
  const Json* types = object.find("layer_types");
  if (types == nullptr) {
    if (!enabled) return sliding;
    constexpr int kDefaultFirst = 28;
    const auto first = object.integer("max_window_layers", 0, kMaxLayers).value_or(kDefaultFirst);
    std::fill(sliding.begin() + std::min<std::int64_t>(first, num_layers), sliding.end(), true);
    return sliding;
  }
  if (!types->is_array() || types->size() != sliding.size()) {
    object.reject("layer_types", fmt::format("a list of {} strings", num_layers));
  }
  for (std::size_t i = 0; i < sliding.size(); ++i) {
    if (!(*types)[i].is_string()) object.reject("layer_types", "a list of strings");
    const auto& type = (*types)[i].get_ref<const std::string&>();
    sliding[i] = type == "sliding_attention";
    if (!sliding[i] && type != "full_attention") {
      fail(ErrorCode::unsupported,
           "{}: key 'layer_types': unknown type {}, expected full_attention or sliding_attention",
           object.file(), quoted_name(type));
    }
  }
  return sliding;
}

/// Source: HF Qwen2Config, Qwen3Config.
void read_windows(const JsonObject& object, ModelConfig& config) {
  const bool enabled = object.boolean("use_sliding_window").value_or(false);
  const auto window = enabled ? read_window(object) : std::nullopt;
  const auto sliding = read_sliding_layers(object, config.num_hidden_layers, window.has_value());
  if (std::find(sliding.begin(), sliding.end(), true) == sliding.end()) return;
  if (!enabled) object.reject("use_sliding_window", "true, because layer_types has sliding layers");
  if (!window) object.reject("sliding_window", "a size, because layer_types has sliding layers");
  for (const bool slides : sliding) config.layer_windows.push_back(slides ? *window : 0);
}

}  // namespace

void read_llama_config(const JsonObject& object, ModelConfig& config) {
  read_common(object, kLlamaDefaults, config);
  config.bos_token_id = 1;
  config.eos_token_ids = {2};
  config.attention_bias = object.boolean("attention_bias").value_or(false);
  config.attention_out_bias = config.attention_bias;
  config.mlp_bias = object.boolean("mlp_bias").value_or(false);
}

void read_mistral_config(const JsonObject& object, ModelConfig& config) {
  read_common(object, kMistralDefaults, config);
  config.bos_token_id = 1;
  config.eos_token_ids = {2};
  // Of every layer; HF's MistralModel does not look at layer_types.
  if (const auto window = read_window(object)) {
    config.layer_windows.assign(static_cast<std::size_t>(config.num_hidden_layers), *window);
  }
}

void read_qwen2_config(const JsonObject& object, ModelConfig& config) {
  read_common(object, kQwen2Defaults, config);
  config.attention_bias = true;
  require_setting(object, "use_mrope", false);
  read_windows(object, config);
}

void read_qwen3_config(const JsonObject& object, ModelConfig& config) {
  read_common(object, kQwen3Defaults, config);
  config.attention_bias = object.boolean("attention_bias").value_or(false);
  config.attention_out_bias = config.attention_bias;
  config.qk_norm = true;
  read_windows(object, config);
}

namespace {

constexpr std::array<std::string_view, 2> kLlamaPrefixes = {"model.", ""};
constexpr std::array<std::string_view, 1> kLlamaBuffers = {"rotary_emb.inv_freq"};

/// Tensors and shapes as HF's LlamaModel, MistralModel, Qwen2Model and Qwen3Model.
class LlamaWeights {
 public:
  LlamaWeights(const ModelConfig& config, WeightMap& map) : config_(config), map_(map) {}

  LayerWeights layer(int index) {
    const std::string prefix = fmt::format("layers.{}.", index);
    const std::string attention = prefix + "self_attn.";
    const std::string mlp = prefix + "mlp.";
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t width = config_.intermediate_size;
    const std::int64_t head_dim = config_.head_dim;
    const std::int64_t q_rows = config_.num_attention_heads * head_dim;
    const std::int64_t kv_rows = config_.num_key_value_heads * head_dim;

    LayerWeights weights;
    weights.attention_norm = norm(prefix + "input_layernorm");
    weights.qkv.weight = map_.matrix(hidden, {{attention + "q_proj.weight", q_rows},
                                              {attention + "k_proj.weight", kv_rows},
                                              {attention + "v_proj.weight", kv_rows}});
    if (config_.attention_bias) {
      weights.qkv.bias = map_.vector({{attention + "q_proj.bias", q_rows},
                                      {attention + "k_proj.bias", kv_rows},
                                      {attention + "v_proj.bias", kv_rows}});
    }
    if (config_.qk_norm) {
      weights.q_norm = map_.vector({{attention + "q_norm.weight", head_dim}});
      weights.k_norm = map_.vector({{attention + "k_norm.weight", head_dim}});
    }
    weights.attention_out =
        linear(attention + "o_proj", q_rows, hidden, config_.attention_out_bias);
    weights.mlp_norm = norm(prefix + "post_attention_layernorm");
    weights.up.weight =
        map_.matrix(hidden, {{mlp + "gate_proj.weight", width}, {mlp + "up_proj.weight", width}});
    if (config_.mlp_bias) {
      weights.up.bias =
          map_.vector({{mlp + "gate_proj.bias", width}, {mlp + "up_proj.bias", width}});
    }
    weights.down = linear(mlp + "down_proj", width, hidden, config_.mlp_bias);
    return weights;
  }

  NormWeights norm(const std::string& name) {
    return {map_.vector({{name + ".weight", config_.hidden_size}}), std::nullopt};
  }

 private:
  LinearWeights linear(const std::string& name, std::int64_t in, std::int64_t out, bool has_bias) {
    LinearWeights weights{map_.matrix(in, {{name + ".weight", out}}), std::nullopt};
    if (has_bias) weights.bias = map_.vector({{name + ".bias", out}});
    return weights;
  }

  const ModelConfig& config_;
  WeightMap& map_;
};

}  // namespace

Graph build_llama(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype) {
  WeightMap map(checkpoint, {kLlamaPrefixes, "norm.weight", kLlamaBuffers}, config.quantization);
  LlamaWeights names(config, map);
  ModelWeights weights;
  weights.tokens = map.token_weights("embed_tokens.weight", config.vocab_size, config.hidden_size,
                                     config.tie_word_embeddings);
  for (int i = 0; i < config.num_hidden_layers; ++i) weights.layers.push_back(names.layer(i));
  weights.final_norm = names.norm("norm");
  map.finish();
  return build_decoder(config, {NormKind::rms, true}, std::move(weights), dtype);
}

}  // namespace quern
