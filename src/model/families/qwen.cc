#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "model/config/config_keys.h"
#include "model/config/config_rope.h"
#include "model/decoder.h"
#include "model/families/families.h"
#include "model/weight_map.h"

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
  config.vocab_size = read_size(object, {"vocab_size"}, kMaxVocabSize);
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

  config.norm_epsilon = read_epsilon(object, "layer_norm_epsilon", 1e-6);
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

namespace {

constexpr std::array<std::string_view, 2> kQwenPrefixes = {"transformer.", ""};
constexpr std::array<std::string_view, 2> kQwenBuffers = {"rotary_emb.inv_freq",
                                                          ".attn.masked_bias"};

/// Tensors and shapes as QWenModel in Qwen's modeling_qwen.py.
class QwenWeights {
 public:
  QwenWeights(const ModelConfig& config, WeightMap& map) : config_(config), map_(map) {}

  LayerWeights layer(int index) {
    const std::string prefix = fmt::format("h.{}.", index);
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t width = config_.intermediate_size;
    const std::int64_t heads = std::int64_t{config_.num_attention_heads} * config_.head_dim;

    LayerWeights weights;
    weights.attention_norm = norm(prefix + "ln_1");
    weights.qkv = {map_.matrix(hidden, {{prefix + "attn.c_attn.weight", 3 * heads}}),
                   map_.vector({{prefix + "attn.c_attn.bias", 3 * heads}})};
    weights.attention_out = linear(prefix + "attn.c_proj", heads, hidden);
    weights.mlp_norm = norm(prefix + "ln_2");
    // The gate, which our contract wants first, is w2.
    weights.up.weight =
        map_.matrix(hidden, {{prefix + "mlp.w2.weight", width}, {prefix + "mlp.w1.weight", width}});
    weights.down = linear(prefix + "mlp.c_proj", width, hidden);
    return weights;
  }

  NormWeights norm(const std::string& name) {
    return {map_.vector({{name + ".weight", config_.hidden_size}}), std::nullopt};
  }

 private:
  LinearWeights linear(const std::string& name, std::int64_t in, std::int64_t out) {
    return {map_.matrix(in, {{name + ".weight", out}}), std::nullopt};
  }

  const ModelConfig& config_;
  WeightMap& map_;
};

}  // namespace

Graph build_qwen(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype) {
  WeightMap map(checkpoint, {kQwenPrefixes, "ln_f.weight", kQwenBuffers}, config.quantization);
  QwenWeights names(config, map);
  ModelWeights weights;
  weights.tokens = map.token_weights("wte.weight", config.vocab_size, config.hidden_size,
                                     config.tie_word_embeddings);
  for (int i = 0; i < config.num_hidden_layers; ++i) weights.layers.push_back(names.layer(i));
  weights.final_norm = names.norm("ln_f");
  map.finish();
  return build_decoder(config, {NormKind::rms, true}, std::move(weights), dtype);
}

}  // namespace quern
