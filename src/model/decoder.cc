#include "model/decoder.h"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

#include "graph/builder.h"

namespace quern {
namespace {

class DecoderBuilder {
 public:
  DecoderBuilder(const ModelConfig& config, DecoderStyle style, DType dtype)
      : config_(config), style_(style), graph_(dtype) {}

  void embed(WeightSpec tokens, std::optional<WeightSpec> positions);
  void layer(LayerWeights weights);
  Graph finish(NormWeights final_norm, std::optional<WeightSpec> lm_head) &&;

 private:
  std::optional<WeightId> declare(std::optional<WeightSpec> spec, std::string name);
  WeightId declare(WeightSpec spec, std::string name);
  /// A NormLinear over the residual stream so far, for these rows from here on; its matrix is the
  /// caller's to fill in.
  NormLinear norm_linear(const std::string& name, NormWeights norm, Rows rows);
  ValueId linear(const std::string& name, ValueId in, LinearWeights weights);
  ValueId attention(const std::string& prefix, ValueId qkv, LayerWeights& weights);

  const ModelConfig& config_;
  DecoderStyle style_;
  GraphBuilder graph_;
  int num_layers_ = 0;
  WeightId token_embedding_{};
  ValueId residual_{};
  std::optional<ValueId> delta_;  ///< what the next NormLinear adds to the residual
  Rows rows_ = Rows::tokens;      ///< of both
};

WeightId DecoderBuilder::declare(WeightSpec spec, std::string name) {
  spec.name = std::move(name);
  return graph_.weight(std::move(spec));
}

std::optional<WeightId> DecoderBuilder::declare(std::optional<WeightSpec> spec, std::string name) {
  if (!spec) return std::nullopt;
  return declare(*std::move(spec), std::move(name));
}

void DecoderBuilder::embed(WeightSpec tokens, std::optional<WeightSpec> positions) {
  residual_ = graph_.value("embed", config_.hidden_size, DType::float32);
  token_embedding_ = declare(std::move(tokens), "token_embedding");
  const auto position_embedding = declare(std::move(positions), "position_embedding");
  graph_.node("embed", Embed{residual_, token_embedding_, position_embedding});
}

void DecoderBuilder::layer(LayerWeights weights) {
  const std::string prefix = fmt::format("layers.{}.", num_layers_);
  const DType dtype = graph_.activation_dtype();

  const std::string qkv_name = prefix + "qkv";
  NormLinear qkv = norm_linear(qkv_name, std::move(weights.attention_norm), Rows::tokens);
  qkv.out = graph_.value(qkv_name, weights.qkv.weight.out_features, dtype);
  qkv.weight = declare(std::move(weights.qkv.weight), qkv_name);
  qkv.bias = declare(std::move(weights.qkv.bias), qkv_name + ".bias");
  graph_.node(qkv_name, qkv);

  const ValueId heads = attention(prefix, qkv.out, weights);
  delta_ = linear(prefix + "attention_out", heads, std::move(weights.attention_out));

  // No later token attends to what the last MLP computes, so it takes the rows of logits alone.
  const bool is_last = num_layers_ + 1 == config_.num_hidden_layers;
  const std::string up_name = prefix + (style_.gated ? "gate_up" : "up");
  NormLinear up =
      norm_linear(up_name, std::move(weights.mlp_norm), is_last ? Rows::logit_rows : Rows::tokens);
  up.out = graph_.value(up_name, config_.intermediate_size, dtype, rows_);
  up.weight = declare(std::move(weights.up.weight), up_name);
  up.bias = declare(std::move(weights.up.bias), up_name + ".bias");
  up.activation = config_.activation;
  up.gated = style_.gated;
  graph_.node(up_name, up);

  delta_ = linear(prefix + "down", up.out, std::move(weights.down));
  ++num_layers_;
}

Graph DecoderBuilder::finish(NormWeights final_norm, std::optional<WeightSpec> lm_head) && {
  const std::string name = "lm_head";
  NormLinear head = norm_linear(name, std::move(final_norm), Rows::logit_rows);
  head.out = graph_.value("logits", config_.vocab_size, DType::float32, Rows::logit_rows);
  head.weight = declare(std::move(lm_head), name).value_or(token_embedding_);
  graph_.node(name, head);
  return std::move(graph_).finish();
}

NormLinear DecoderBuilder::norm_linear(const std::string& name, NormWeights norm, Rows rows) {
  NormLinear op{};
  op.in_rows = std::exchange(rows_, rows);
  op.out_rows = rows;
  op.residual = residual_;
  op.delta = std::exchange(delta_, std::nullopt);
  op.gain = declare(std::move(norm.gain), name + ".norm");
  op.norm_bias = declare(std::move(norm.bias), name + ".norm_bias");
  op.norm = style_.norm;
  op.epsilon = config_.norm_epsilon;
  // Without a delta the stream stays as it is; after the last norm it is unused.
  if (op.delta && num_layers_ < config_.num_hidden_layers) {
    residual_ = graph_.value(name + ".residual", config_.hidden_size, DType::float32, rows);
    op.residual_out = residual_;
  }
  return op;
}

ValueId DecoderBuilder::linear(const std::string& name, ValueId in, LinearWeights weights) {
  Linear op{};
  op.in = in;
  op.out = graph_.value(name, weights.weight.out_features, graph_.activation_dtype(), rows_);
  op.rows = rows_;
  op.weight = declare(std::move(weights.weight), name);
  op.bias = declare(std::move(weights.bias), name + ".bias");
  graph_.node(name, op);
  return op.out;
}

ValueId DecoderBuilder::attention(const std::string& prefix, ValueId qkv, LayerWeights& weights) {
  const std::string name = prefix + "attention";
  Attention op{};
  op.qkv = qkv;
  op.out = graph_.value(name, std::int64_t{config_.num_attention_heads} * config_.head_dim,
                        graph_.activation_dtype());
  op.layer = num_layers_;
  op.num_heads = config_.num_attention_heads;
  op.num_kv_heads = config_.num_key_value_heads;
  op.head_dim = config_.head_dim;
  op.rope = config_.rope;
  op.q_norm = declare(std::move(weights.q_norm), prefix + "q_norm");
  op.k_norm = declare(std::move(weights.k_norm), prefix + "k_norm");
  if (op.q_norm) op.norm_epsilon = config_.norm_epsilon;
  if (config_.scale_attention) op.scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  if (config_.scale_by_inverse_layer) op.scale /= static_cast<float>(num_layers_ + 1);
  op.window = config_.layer_windows.at(static_cast<std::size_t>(num_layers_));
  op.logn_length = config_.logn_length;
  graph_.node(name, op);
  return op.out;
}

}  // namespace

Graph build_decoder(const ModelConfig& config, DecoderStyle style, ModelWeights weights,
                    DType dtype) {
  DecoderBuilder builder(config, style, dtype);
  builder.embed(std::move(weights.tokens.embedding), std::move(weights.positions));
  for (LayerWeights& layer : weights.layers) builder.layer(std::move(layer));
  return std::move(builder).finish(std::move(weights.final_norm),
                                   std::move(weights.tokens.lm_head));
}

}  // namespace quern
