#pragma once

#include <optional>
#include <vector>

#include "graph/graph.h"
#include "model/config/config.h"
#include "model/weight_map.h"

namespace quern {

/// The weights of one norm, linear map or layer, as WeightMap finds them. Optional ones are those
/// that some families lack.
struct NormWeights {
  WeightSpec gain;
  std::optional<WeightSpec> bias;
};
struct LinearWeights {
  WeightSpec weight;
  std::optional<WeightSpec> bias;
};
struct LayerWeights {
  NormWeights attention_norm;
  LinearWeights qkv;  ///< q, k, v stacked by rows
  std::optional<WeightSpec> q_norm, k_norm;
  LinearWeights attention_out;
  NormWeights mlp_norm;
  LinearWeights up;  ///< gated: gate, up stacked by rows
  LinearWeights down;
};

struct ModelWeights {
  WeightMap::TokenWeights tokens;
  std::optional<WeightSpec> positions;
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
};

/// How a family's layers differ where the config does not say it.
struct DecoderStyle {
  NormKind norm = NormKind::rms;
  bool gated = true;
};

/// The graph that all decoder-only families share: embed, layers of five nodes, lm_head. Weights
/// and values get their names here. The residual stream starts as the embedding, and each
/// NormLinear adds the last linear map's output to it; an lm_head without a weight is tied to the
/// token embedding. Errors: as validate().
Graph build_decoder(const ModelConfig& config, DecoderStyle style, ModelWeights weights,
                    DType dtype);

}  // namespace quern
