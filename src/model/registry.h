#pragma once

#include <array>
#include <string_view>

#include "graph/graph.h"
#include "io/checkpoint.h"
#include "io/json.h"
#include "model/config/config.h"

namespace quern {

/// What there is to know about a model type: one row of the registry.
struct ModelFamily {
  std::string_view model_type;
  std::array<std::string_view, 2> architectures;  ///< as config.json spells them; empty: none
  void (*read_config)(const JsonObject& object, ModelConfig& config);
  Graph (*build)(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype);
};

/// The family of a config.json by its model_type or, where that is absent, its architecture.
/// Errors: unsupported for an unknown one, or an architecture that the model type does not have.
const ModelFamily& find_family(const JsonObject& object);

/// architectures[0], or empty. Errors: bad_file when it is no list of strings.
std::string read_architecture(const JsonObject& object);

}  // namespace quern
