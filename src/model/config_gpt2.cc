#include "model/config_family.h"
#include "model/config_keys.h"

namespace quern {

void read_gpt2_config(const JsonObject& object, ModelConfig& config) {
  config.hidden_size = read_size(object, {"n_embd", "hidden_size"}, kMaxWidth);
  config.num_hidden_layers = read_size(object, {"n_layer", "num_hidden_layers"}, kMaxLayers);
  config.num_attention_heads = read_size(object, {"n_head", "num_attention_heads"}, kMaxHeads);
  config.num_key_value_heads = config.num_attention_heads;
  config.head_dim =
      divided_head_dim(object, present_key(object, {"n_embd", "hidden_size"}), config);
  config.max_position_embeddings =
      read_size(object, {"n_positions", "max_position_embeddings", "n_ctx"}, kMaxPositions);
  config.intermediate_size =
      read_optional_size(object, "n_inner", kMaxWidth).value_or(4 * config.hidden_size);
  config.norm_epsilon = read_epsilon(object, "layer_norm_epsilon");
  config.activation = read_activation(object, "activation_function", Activation::gelu_tanh);
  config.tie_word_embeddings = object.boolean("tie_word_embeddings").value_or(true);
  config.attention_bias = true;
  config.attention_out_bias = true;
  config.mlp_bias = true;

  // reorder_and_upcast_attn only moves roundings to float32, where our attention has them anyway.
  require_setting(object, "scale_attn_weights", true);
  require_setting(object, "scale_attn_by_inverse_layer_idx", false);
  require_setting(object, "add_cross_attention", false);
}

}  // namespace quern
