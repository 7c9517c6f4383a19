#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "base/memory/arena.h"
#include "runtime/load/opened_model.h"

namespace quern {

/// The dtype in which each weight of the model's graph is kept, by WeightId.
std::vector<DType> stored_dtypes(const OpenedModel& model);

/// Where each weight of the model's graph is to lie on the backend's device: they take
/// Backend::upload_bytes each from the arena. Reads nothing.
std::vector<Weight> lay_out_weights(const OpenedModel& model, const Backend& backend, Arena& arena);

/// Brings their contents there, from the checkpoint or made there at random. Errors: those of
/// load_weight.
void read_weights(const OpenedModel& model, Backend& backend, std::span<const Weight> weights);

}  // namespace quern
