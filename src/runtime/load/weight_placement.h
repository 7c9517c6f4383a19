#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "base/memory/arena.h"
#include "quern/engine.h"
#include "runtime/load/opened_model.h"

namespace quern {

/// The storage format of each weight of the model's graph, by WeightId: the checkpoint's, or that
/// of EngineOptions::quantize for the matrices of the layers.
std::vector<WeightFormat> stored_formats(const OpenedModel& model);

/// The weights by format, in the backend's layouts.
std::vector<WeightStorage> summarize_weights(const OpenedModel& model, const Backend& backend);
QuantizationSummary summarize_quantization(const OpenedModel& model);

/// Allocates each weight of the model's graph on the backend's device: storage_bytes() each from
/// the arena, in the layout that the backend chooses. Reads nothing. Errors: those of
/// Backend::prepare.
std::vector<Weight> lay_out_weights(const OpenedModel& model, const Backend& backend, Arena& arena);

/// Loads them from the checkpoint, or generates random ones on the device, and reports each to
/// `on_load`, if that is not empty. Errors: those of load_weight, and what `on_load` throws.
void read_weights(const OpenedModel& model, Backend& backend, std::span<const Weight> weights,
                  const LoadCallback& on_load);

}  // namespace quern
