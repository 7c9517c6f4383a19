#pragma once

#include <string>
#include <vector>

#include "model/config/config.h"

namespace quern {

/// The names of the model shapes that this build knows (shapes.json), sorted.
std::vector<std::string> known_shape_names();

/// The config of a known shape. Errors: invalid_argument for an unknown name, listing the known
/// ones.
ModelConfig shape_config(const std::string& name);

/// Leaves only the first `num_layers` layers. Errors: invalid_argument when there are fewer.
void keep_layers(ModelConfig& config, int num_layers);

}  // namespace quern
