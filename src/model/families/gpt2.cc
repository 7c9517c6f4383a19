#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "model/config/config_keys.h"
#include "model/decoder.h"
#include "model/families/families.h"
#include "model/weight_map.h"

namespace quern {

// Defaults: HF GPT2Config.
void read_gpt2_config(const JsonObject& object, ModelConfig& config) {
  config.vocab_size = read_size(object, {"vocab_size"}, kMaxVocabSize, 50257);
  config.hidden_size = read_size(object, {"n_embd", "hidden_size"}, kMaxWidth, 768);
  config.num_hidden_layers = read_size(object, {"n_layer", "num_hidden_layers"}, kMaxLayers, 12);
  config.num_attention_heads = read_size(object, {"n_head", "num_attention_heads"}, kMaxHeads, 12);
  config.num_key_value_heads = config.num_attention_heads;
  config.head_dim =
      divided_head_dim(object, present_key(object, {"n_embd", "hidden_size"}), config);
  config.max_position_embeddings =
      read_size(object, {"n_positions", "max_position_embeddings", "n_ctx"}, kMaxPositions, 1024);
  config.intermediate_size =
      read_optional_size(object, "n_inner", kMaxWidth).value_or(4 * config.hidden_size);
  config.norm_epsilon = read_epsilon(object, "layer_norm_epsilon", 1e-5);
  config.activation = read_activation(object, "activation_function", Activation::gelu_tanh);
  config.tie_word_embeddings = object.boolean("tie_word_embeddings").value_or(true);
  config.attention_bias = true;
  config.attention_out_bias = true;
  config.mlp_bias = true;

  config.bos_token_id = 50256;
  config.eos_token_ids = {50256};

  // reorder_and_upcast_attn only moves roundings to float32, where our attention has them anyway.
  config.scale_attention = object.boolean("scale_attn_weights").value_or(true);
  config.scale_by_inverse_layer = object.boolean("scale_attn_by_inverse_layer_idx").value_or(false);
  require_setting(object, "add_cross_attention", false);
}

namespace {

constexpr std::array<std::string_view, 2> kGpt2Prefixes = {"", "transformer."};
constexpr std::array<std::string_view, 2> kGpt2Buffers = {".attn.bias", ".attn.masked_bias"};

/// Tensors and shapes as HF's GPT2Model; its Conv1D stores [in, out].
class Gpt2Weights {
 public:
  Gpt2Weights(const ModelConfig& config, WeightMap& map) : config_(config), map_(map) {}

  LayerWeights layer(int index) {
    const std::string prefix = fmt::format("h.{}.", index);
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t width = config_.intermediate_size;
    LayerWeights weights;
    weights.attention_norm = norm(prefix + "ln_1");
    weights.qkv = conv(prefix + "attn.c_attn", hidden, 3 * hidden);
    weights.attention_out = conv(prefix + "attn.c_proj", hidden, hidden);
    weights.mlp_norm = norm(prefix + "ln_2");
    weights.up = conv(prefix + "mlp.c_fc", hidden, width);
    weights.down = conv(prefix + "mlp.c_proj", width, hidden);
    return weights;
  }

  NormWeights norm(const std::string& name) {
    const std::int64_t size = config_.hidden_size;
    return {map_.vector({{name + ".weight", size}}), map_.vector({{name + ".bias", size}})};
  }

 private:
  LinearWeights conv(const std::string& name, std::int64_t in, std::int64_t out) {
    return {map_.matrix(in, {{name + ".weight", out}}, WeightMap::Order::in_out),
            map_.vector({{name + ".bias", out}})};
  }

  const ModelConfig& config_;
  WeightMap& map_;
};

}  // namespace

Graph build_gpt2(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype) {
  WeightMap map(checkpoint, {kGpt2Prefixes, "ln_f.weight", kGpt2Buffers}, config.quantization);
  Gpt2Weights names(config, map);
  ModelWeights weights;
  weights.tokens = map.token_weights("wte.weight", config.vocab_size, config.hidden_size,
                                     config.tie_word_embeddings);
  weights.positions =
      map.embedding("wpe.weight", config.max_position_embeddings, config.hidden_size);
  for (int i = 0; i < config.num_hidden_layers; ++i) weights.layers.push_back(names.layer(i));
  weights.final_norm = names.norm("ln_f");
  map.finish();
  return build_decoder(config, {NormKind::layer, false}, std::move(weights), dtype);
}

}  // namespace quern
