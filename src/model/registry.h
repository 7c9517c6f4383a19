#pragma once

#include <array>
#include <string_view>

#include "graph/graph.h"
#include "io/checkpoint.h"
#include "io/json/json.h"
#include "model/config/config.h"

namespace quern {

/// What there is to know about a model type: one row of the registry.
struct ModelFamily {
  std::string_view model_type;
  /// As config.json spells them, the usual one first, with the base model's; empty: none.
  std::array<std::string_view, 4> architectures;
  void (*read_config)(const JsonObject& object, ModelConfig& config);
  Graph (*build)(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype);
};

/// The family of a config.json by its model_type, as Hugging Face finds it, or, where that is
/// absent, its architecture. Errors: unsupported for an unknown one; for an architecture of another
/// family; and for one that is no language model, such as a classifier.
const ModelFamily& find_family(const JsonObject& object);

/// architectures[0], or empty. Errors: bad_file when it is no list of strings.
std::string read_architecture(const JsonObject& object);

}  // namespace quern
