#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "io/checkpoint.h"
#include "model/config.h"
#include "quern/engine.h"
#include "quern/tokenizer.h"

namespace quern {

/// A model folder read and checked, with its graph, before any weight is touched.
struct OpenedModel {
  std::filesystem::path folder;
  ModelConfig config;
  GenerationConfig generation;
  Checkpoint checkpoint;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<std::pair<std::int32_t, std::string>> end_ids;
  Graph graph;  ///< the model's nodes, then Sample and Advance
};

/// Opens what `model` names; see find_model_folder. The graph is made for the options' dtype;
/// without one for float32 on the CPU, and on a GPU for the checkpoint's own (float16 for float32).
/// Errors: those of every file, naming it.
OpenedModel open_model(const std::string& model, const EngineOptions& resolved);

ModelInfo model_info(const OpenedModel& model);

}  // namespace quern
