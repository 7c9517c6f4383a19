#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "model/decoder.h"
#include "model/model_family.h"
#include "model/weight_map.h"

namespace quern {
namespace {

constexpr std::array<std::string_view, 2> kPrefixes = {"model.", ""};
constexpr std::array<std::string_view, 1> kBuffers = {"rotary_emb.inv_freq"};

/// Tensors and shapes as HF's LlamaModel, Qwen2Model and Qwen3Model.
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
  WeightMap map(checkpoint, {kPrefixes, "norm.weight", kBuffers});
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
