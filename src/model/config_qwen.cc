#include "model/config_family.h"
#include "model/config_keys.h"
#include "model/config_rope.h"

namespace quern {
namespace {

/// A switch whose default changed between versions of Qwen's code, so that it must be there.
bool read_required_switch(const JsonObject& object, std::string_view key) {
  const auto value = object.boolean(key);
  if (!value) object.reject(key, "true or false");
  return *value;
}

/// How Qwen's own flags spell the dtype.
std::optional<DType> read_dtype_flags(const JsonObject& object) {
  if (object.boolean("bf16").value_or(false)) return DType::bfloat16;
  if (object.boolean("fp16").value_or(false)) return DType::float16;
  if (object.boolean("fp32").value_or(false)) return DType::float32;
  return std::nullopt;
}

Rope read_qwen_rope(const JsonObject& object, const ModelConfig& config, int seq_length) {
  Rope rope;
  rope.theta = object.required_number("rotary_emb_base", 2.0, 1e15);
  const double share = object.number("rotary_pct", 0.0, 1.0).value_or(1.0);
  rope.rotary_dim = static_cast<int>(config.head_dim * share);
  if (read_required_switch(object, "use_dynamic_ntk")) {
    rope.type = RopeType::qwen_ntk;
    rope.original_max_position = seq_length;
  }
  check_rotary_dim(object, present_key(object, {"rotary_pct", "kv_channels"}), rope);
  return rope;
}

}  // namespace

// Source: Qwen's configuration_qwen.py and modeling_qwen.py. The first release wrote GPT-2's names.
void read_qwen_config(const JsonObject& object, ModelConfig& config) {
  config.hidden_size = read_size(object, {"hidden_size", "n_embd"}, kMaxWidth);
  config.num_hidden_layers = read_size(object, {"num_hidden_layers", "n_layer"}, kMaxLayers);
  config.num_attention_heads = read_size(object, {"num_attention_heads", "n_head"}, kMaxHeads);
  config.num_key_value_heads = config.num_attention_heads;
  config.head_dim = read_size(object, {"kv_channels"}, kMaxHeadDim);
  config.max_position_embeddings =
      read_size(object, {"max_position_embeddings", "n_positions"}, kMaxPositions);

  // The key counts gate and up together.
  const auto intermediate_key = present_key(object, {"intermediate_size", "ffn_hidden_size"});
  const int both = read_size(object, {intermediate_key}, kMaxWidth);
  if (both % 2 != 0) object.reject(intermediate_key, "an even number");
  config.intermediate_size = both / 2;

  config.norm_epsilon = read_epsilon(object, "layer_norm_epsilon");
  config.activation = Activation::silu;
  config.tie_word_embeddings = object.boolean("tie_word_embeddings").value_or(false);
  config.attention_bias = true;
  const int seq_length = static_cast<int>(object.required_integer("seq_length", 2, kMaxPositions));
  config.rope = read_qwen_rope(object, config, seq_length);
  if (read_required_switch(object, "use_logn_attn")) config.logn_length = seq_length;
  config.dtype = read_dtype_flags(object);

  require_setting(object, "no_bias", true);
  require_setting(object, "scale_attn_weights", true);
  require_setting(object, "apply_residual_connection_post_layernorm", false);
  require_setting(object, "use_cache_quantization", false);
}

}  // namespace quern
