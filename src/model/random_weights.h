#pragma once

#include <cstdint>
#include <vector>

#include "graph/graph.h"
#include "weights/random.h"

namespace quern {

struct RandomInit {
  std::uint64_t seed = 0;
  int num_layers = 1;     ///< of the whole model, when the graph has only its first ones
  bool outliers = false;  ///< see random_weights()
};

/// How to make every weight of a graph, by WeightId; a later run of a weight overwrites what an
/// earlier one made. The sizes are those of a fresh model: matrices, embeddings and biases have a
/// standard deviation of about 0.02, those that write to the residual stream a smaller one, by
/// √(2 layers) to the next power of two; gains are about 1. Activations stay sane over any depth,
/// and logits are of the order of 1 to 10.
/// With outliers 16 channels of the residual stream are 2^10 to 2^13 times as large as the others,
/// which are of the order of 1: the embedding has them so, and the norms' gains make up for it, so
/// that the other channels keep their share, as in trained models. They come in pairs of opposite
/// sign, so that the mean of a layer norm does not see them.
/// Source: "Massive Activations in Large Language Models", Sun et al. 2024.
std::vector<std::vector<RandomRun>> random_weights(const Graph& graph, const RandomInit& init);

}  // namespace quern
