#pragma once

#include <string>

#include "graph/builder.h"
#include "graph/graph.h"

namespace quern::testing {

inline WeightSpec weight_spec(const std::string& name, WeightUse use, std::int64_t out,
                              std::int64_t in) {
  std::vector<std::int64_t> shape = {out, in};
  if (use == WeightUse::vector) shape = {in};
  return {name, use, out, in, {{"tensor." + name, shape, false}}};
}

/// A valid graph of two GQA layers with every optional weight: hidden_size 8, two query heads and
/// one KV head of 4, intermediate_size 6, vocab_size 10; float16 activations.
class SmallGraph {
 public:
  SmallGraph() : builder_(DType::float16) {
    residual_ = builder_.value("embed", 8, DType::float32);
    builder_.node("embed", Embed{residual_, weight("tokens", WeightUse::embedding, 10, 8),
                                 weight("positions", WeightUse::embedding, 16, 8)});
    layer(0);
    layer(1);
    NormLinear head = norm_linear("lm_head", 10, false);
    head.out = builder_.value("logits", 10, DType::float32, Rows::logit_rows);
    head.out_rows = Rows::logit_rows;
    builder_.node("lm_head", head);
    builder_.node("sample", Sample{head.out});
    builder_.node("advance", Advance{});
  }

  Graph finish() && { return std::move(builder_).finish(); }

 private:
  WeightId weight(const std::string& name, WeightUse use, std::int64_t out, std::int64_t in) {
    return builder_.weight(weight_spec(name, use, out, in));
  }

  void layer(int index) {
    const std::string prefix = "layers." + std::to_string(index) + ".";
    NormLinear qkv = norm_linear(prefix + "qkv", 16, index > 0);
    qkv.out = builder_.value(prefix + "qkv", 16, DType::float16);
    builder_.node(prefix + "qkv", qkv);

    Attention attention{};
    attention.qkv = qkv.out;
    attention.out = builder_.value(prefix + "attention", 8, DType::float16);
    attention.layer = index;
    attention.num_heads = 2;
    attention.num_kv_heads = 1;
    attention.head_dim = 4;
    attention.rope = Rope{};
    attention.rope->rotary_dim = 4;
    attention.q_norm = weight(prefix + "q_norm", WeightUse::vector, 1, 4);
    attention.k_norm = weight(prefix + "k_norm", WeightUse::vector, 1, 4);
    attention.norm_epsilon = 1e-6f;
    attention.scale = 0.5f;
    builder_.node(prefix + "attention", attention);

    linear(prefix + "attention_out", attention.out, 8);
    NormLinear up = norm_linear(prefix + "gate_up", 12, true);
    up.out = builder_.value(prefix + "gate_up", 6, DType::float16);
    up.activation = Activation::silu;
    up.gated = true;
    builder_.node(prefix + "gate_up", up);
    linear(prefix + "down", up.out, 6);
  }

  NormLinear norm_linear(const std::string& name, std::int64_t out_features, bool writes_residual) {
    NormLinear op{};
    op.residual = residual_;
    op.delta = delta_;
    if (writes_residual) {
      residual_ = builder_.value(name + ".residual", 8, DType::float32);
      op.residual_out = residual_;
    }
    op.gain = weight(name + ".norm", WeightUse::vector, 1, 8);
    op.norm_bias = weight(name + ".norm_bias", WeightUse::vector, 1, 8);
    op.weight = weight(name, WeightUse::matrix, out_features, 8);
    op.bias = weight(name + ".bias", WeightUse::vector, 1, out_features);
    op.norm = NormKind::layer;
    op.epsilon = 1e-5f;
    return op;
  }

  void linear(const std::string& name, ValueId in, std::int64_t in_features) {
    delta_ = builder_.value(name, 8, DType::float16);
    builder_.node(name, Linear{in, *delta_, weight(name, WeightUse::matrix, 8, in_features),
                               weight(name + ".bias", WeightUse::vector, 1, 8)});
  }

  GraphBuilder builder_;
  ValueId residual_{};
  std::optional<ValueId> delta_;
};

inline Graph small_graph() { return SmallGraph().finish(); }

/// The op of a node by name, to be changed in place.
template <typename T>
T& op_of(Graph& graph, std::string_view name) {
  for (Node& node : graph.nodes) {
    if (node.name == name) return std::get<T>(node.op);
  }
  throw std::runtime_error("no node " + std::string(name));
}

}  // namespace quern::testing
