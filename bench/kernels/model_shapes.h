#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/op.h"
#include "model/shapes.h"

namespace quern::bench {

/// A known shape (src/model/shapes.json).
struct ModelShape : ModelConfig {
  std::string name;

  std::int64_t qkv_features() const {
    return (num_attention_heads + 2 * std::int64_t{num_key_value_heads}) * head_dim;
  }
};

/// Models that kernels are timed for.
inline const std::vector<ModelShape>& model_shapes() {
  static const std::vector<ModelShape> shapes = [] {
    std::vector<ModelShape> found;
    for (const char* name : {"llama_7b", "gpt_350m", "llama3_8b", "qwen2.5_7b"}) {
      found.push_back({shape_config(name), name});
    }
    return found;
  }();
  return shapes;
}

/// One projection of a layer, or lm_head.
struct ProjectionShape {
  std::string name;  ///< "llama_7b.qkv"
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;  ///< gated: features of the result
  bool normed = false;            ///< NormLinear, else Linear
  NormKind norm = NormKind::rms;
  bool bias = false;
  Activation activation = Activation::none;
  bool gated = false;
  bool float32_out = false;

  std::int64_t weight_rows() const { return gated ? 2 * out_features : out_features; }
  std::int64_t weight_bytes() const { return 2 * weight_rows() * in_features; }  ///< float16
  double flops(int rows) const {
    return 2.0 * rows * static_cast<double>(weight_rows() * in_features);
  }
};

inline std::vector<ProjectionShape> projections_of(const ModelShape& model) {
  const std::string& name = model.name;
  const bool is_gpt2 = model.model_type == "gpt2";
  const auto norm = is_gpt2 ? NormKind::layer : NormKind::rms;
  const std::int64_t heads_out = std::int64_t{model.num_attention_heads} * model.head_dim;
  return {
      {name + ".qkv", model.hidden_size, model.qkv_features(), true, norm, model.attention_bias},
      {name + ".o", heads_out, model.hidden_size, false, norm, model.attention_out_bias},
      {name + ".up", model.hidden_size, model.intermediate_size, true, norm, model.mlp_bias,
       model.activation, !is_gpt2},
      {name + ".down", model.intermediate_size, model.hidden_size, false, norm, model.mlp_bias},
      {name + ".lm_head", model.hidden_size, model.vocab_size, true, norm, false, Activation::none,
       false, true},
  };
}

}  // namespace quern::bench
