#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "io/checkpoint.h"
#include "model/config/config.h"
#include "model/config/generation_config.h"
#include "model/random_weights.h"
#include "quern/engine.h"
#include "quern/tokenizer.h"

namespace quern {

/// A parsed and checked model folder, or a shape for random weights, with its graph; no weights are
/// read yet.
struct OpenedModel {
  std::string name;  ///< see ModelInfo
  std::filesystem::path folder;
  ModelConfig config;
  GenerationConfig generation;
  Checkpoint checkpoint;  ///< empty for random weights
  std::optional<RandomInit> random;
  std::optional<DType> quantize;  ///< see EngineOptions
  ActivationQuantization quantize_activations = ActivationQuantization::off;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<std::pair<std::int32_t, std::string>> eos_token_ids;
  Graph graph;  ///< the model's nodes, then Sample and Advance
};

/// Opens `model`; see find_model_folder. The graph is built for the options' dtype; the default is
/// float32 on the CPU, and on a GPU the checkpoint's own (float16 for float32). Errors: those of
/// every file, naming it; invalid_argument for an unknown shape.
OpenedModel open_model(const ModelSource& model, const EngineOptions& resolved);

/// Logs that the output is meaningless if the model's weights are random.
void warn_of_random_weights(const OpenedModel& model);

ModelInfo model_info(const OpenedModel& model);

}  // namespace quern
