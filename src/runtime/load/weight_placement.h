#pragma once

#include <vector>

#include "backend/backend.h"
#include "base/memory/arena.h"
#include "runtime/load/opened_model.h"

namespace quern {

/// The format in which each weight of the model's graph is kept, by WeightId.
std::vector<WeightFormat> stored_formats(const OpenedModel& model);

/// Brings all weights of the model's graph to the backend's device, from the checkpoint or made
/// there at random. They take storage_bytes() each from the arena, in the layout that the backend
/// chooses. Errors: those of load_weight and Backend::prepare.
std::vector<Weight> place_weights(const OpenedModel& model, Backend& backend, Arena& arena);

}  // namespace quern
