#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/op.h"

namespace quern::bench {

/// What of a model decides its kernels' sizes.
struct ModelShape {
  const char* name = nullptr;
  int num_hidden_layers = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;
  int head_dim = 0;
  int vocab_size = 0;
  bool is_gpt2 = false;   ///< layer norm, biases, gelu and no gate
  bool qkv_bias = false;  ///< of the others

  std::int64_t qkv_features() const {
    return (num_attention_heads + 2 * std::int64_t{num_key_value_heads}) * head_dim;
  }
};

inline const std::vector<ModelShape>& model_shapes() {
  static const std::vector<ModelShape> shapes = {
      {"llama_7b", 32, 4096, 11008, 32, 32, 128, 32000, false, false},
      {"gpt_350m", 24, 1024, 4096, 16, 16, 64, 50304, true, true},
      {"llama3_8b", 32, 4096, 14336, 32, 8, 128, 128256, false, false},
      {"qwen2.5_7b", 28, 3584, 18944, 28, 4, 128, 152064, false, true},
  };
  return shapes;
}

/// One projection of a layer, or lm_head.
struct ProjectionShape {
  std::string name;  ///< "llama_7b.qkv"
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;  ///< gated: of the result
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
  const std::string name = model.name;
  const auto norm = model.is_gpt2 ? NormKind::layer : NormKind::rms;
  const std::int64_t heads_out = std::int64_t{model.num_attention_heads} * model.head_dim;
  const Activation activation = model.is_gpt2 ? Activation::gelu_tanh : Activation::silu;
  return {
      {name + ".qkv", model.hidden_size, model.qkv_features(), true, norm, model.qkv_bias},
      {name + ".o", heads_out, model.hidden_size, false, norm, model.is_gpt2},
      {name + ".up", model.hidden_size, model.intermediate_size, true, norm, model.is_gpt2,
       activation, !model.is_gpt2},
      {name + ".down", model.intermediate_size, model.hidden_size, false, norm, model.is_gpt2},
      {name + ".lm_head", model.hidden_size, model.vocab_size, true, norm, false, Activation::none,
       false, true},
  };
}

}  // namespace quern::bench
