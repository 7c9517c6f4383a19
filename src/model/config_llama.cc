#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "model/config_family.h"
#include "model/config_keys.h"
#include "model/config_rope.h"

namespace quern {
namespace {

/// The keys that LLaMA, Qwen2 and Qwen3 share.
void read_common(const JsonObject& object, std::optional<int> default_head_dim,
                 ModelConfig& config) {
  config.hidden_size = read_size(object, {"hidden_size"}, kMaxWidth);
  config.intermediate_size = read_size(object, {"intermediate_size"}, kMaxWidth);
  config.num_hidden_layers = read_size(object, {"num_hidden_layers"}, kMaxLayers);
  config.num_attention_heads = read_size(object, {"num_attention_heads"}, kMaxHeads);
  config.num_key_value_heads = read_optional_size(object, "num_key_value_heads", kMaxHeads)
                                   .value_or(config.num_attention_heads);
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    object.reject("num_key_value_heads",
                  fmt::format("a divisor of num_attention_heads ({})", config.num_attention_heads));
  }
  const auto head_dim = read_optional_size(object, "head_dim", kMaxHeadDim);
  if (head_dim || default_head_dim) {
    config.head_dim = head_dim ? *head_dim : *default_head_dim;
  } else {
    config.head_dim = divided_head_dim(object, "hidden_size", config);
  }
  // The first LLaMA checkpoints say max_sequence_length.
  config.max_position_embeddings =
      read_size(object, {"max_position_embeddings", "max_sequence_length"}, kMaxPositions);
  config.norm_epsilon = read_epsilon(object, "rms_norm_eps");
  config.activation = read_activation(object, "hidden_act", Activation::silu);
  config.tie_word_embeddings = object.boolean("tie_word_embeddings").value_or(false);
  config.rope = read_rope(object, config);
}

/// Which layers slide: as layer_types says, else those from max_window_layers on.
std::vector<bool> read_sliding_layers(const JsonObject& object, int num_layers, bool enabled) {
  std::vector<bool> sliding(static_cast<std::size_t>(num_layers), false);
  const Json* types = object.find("layer_types");
  if (types == nullptr) {
    if (!enabled) return sliding;
    const auto first = object.required_integer("max_window_layers", 0, kMaxLayers);
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
  const auto sliding = read_sliding_layers(object, config.num_hidden_layers, enabled);
  if (std::find(sliding.begin(), sliding.end(), true) == sliding.end()) return;
  if (!enabled) object.reject("use_sliding_window", "true, because layer_types has sliding layers");
  const int window = read_size(object, {"sliding_window"}, kMaxPositions);
  for (const bool slides : sliding) config.layer_windows.push_back(slides ? window : 0);
}

}  // namespace

void read_llama_config(const JsonObject& object, ModelConfig& config) {
  read_common(object, std::nullopt, config);
  config.attention_bias = object.boolean("attention_bias").value_or(false);
  config.attention_out_bias = config.attention_bias;
  config.mlp_bias = object.boolean("mlp_bias").value_or(false);
}

void read_qwen2_config(const JsonObject& object, ModelConfig& config) {
  read_common(object, std::nullopt, config);
  config.attention_bias = true;
  require_setting(object, "use_mrope", false);
  read_windows(object, config);
}

void read_qwen3_config(const JsonObject& object, ModelConfig& config) {
  constexpr int kDefaultHeadDim = 128;  // as Qwen3Config, whatever hidden_size is
  read_common(object, kDefaultHeadDim, config);
  config.attention_bias = object.boolean("attention_bias").value_or(false);
  config.attention_out_bias = config.attention_bias;
  config.qk_norm = true;
  read_windows(object, config);
}

}  // namespace quern
