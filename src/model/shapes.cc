#include "model/shapes.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/json/json.h"
#include "model/shapes_json.h"

namespace quern {
namespace {

Json shapes() { return parse_json(kShapesJson, "shapes.json"); }

}  // namespace

std::vector<std::string> known_shape_names() {
  std::vector<std::string> names;
  const Json all = shapes();
  for (const auto& [name, config] : all.items()) names.push_back(name);
  return names;
}

ModelConfig shape_config(const std::string& name) {
  const Json all = shapes();
  const auto found = all.find(name);
  if (found == all.end()) {
    fail(ErrorCode::invalid_argument, "shape {} is not known, expected one of {}",
         quoted_name(name), fmt::join(known_shape_names(), ", "));
  }
  return parse_model_config(*found, "shape " + name);
}

void keep_layers(ModelConfig& config, int num_layers) {
  if (num_layers < 1 || num_layers > config.num_hidden_layers) {
    fail(ErrorCode::invalid_argument, "layers {}: expected 1 to {}", num_layers,
         config.num_hidden_layers);
  }
  config.num_hidden_layers = num_layers;
  config.layer_windows.resize(static_cast<std::size_t>(num_layers));
}

}  // namespace quern
