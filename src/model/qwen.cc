#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "model/decoder.h"
#include "model/model_family.h"
#include "model/weight_map.h"

namespace quern {
namespace {

constexpr std::array<std::string_view, 2> kPrefixes = {"transformer.", ""};
constexpr std::array<std::string_view, 2> kBuffers = {"rotary_emb.inv_freq", ".attn.masked_bias"};

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
  WeightMap map(checkpoint, {kPrefixes, "ln_f.weight", kBuffers});
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
