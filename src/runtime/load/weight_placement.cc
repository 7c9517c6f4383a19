#include "runtime/load/weight_placement.h"

#include "graph/memory_plan.h"
#include "model/random_weights.h"
#include "runtime/load/timed_phase.h"
#include "weights/load.h"

namespace quern {
namespace {

std::vector<Weight> make_random(const OpenedModel& model, Backend& backend, Arena& arena) {
  const auto runs = random_weights(model.graph, *model.random);
  const auto stored = stored_dtypes(model);
  std::vector<Weight> weights;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const WeightSpec& spec = model.graph.weights[i];
    std::byte* data = arena.take(weight_bytes(spec, stored[i]));
    for (const RandomRun& run : runs[i]) backend.fill_random(run, stored[i], data);
    weights.push_back(dense_weight({spec.use, stored[i], spec.out_features, spec.in_features, {}},
                                   data, backend.device()));
  }
  return weights;
}

std::vector<Weight> load_from_checkpoint(const OpenedModel& model, Backend& backend, Arena& arena) {
  const auto stored = stored_dtypes(model);
  std::vector<Weight> weights;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const WeightSpec& spec = model.graph.weights[i];
    std::byte* destination = arena.take(backend.upload_bytes(spec, stored[i]));
    weights.push_back(load_weight(
        model.checkpoint, spec, stored[i],
        [&](const WeightSource& source) { return backend.upload(source, destination); }));
  }
  return weights;
}

}  // namespace

std::vector<DType> stored_dtypes(const OpenedModel& model) {
  const DType activation = model.graph.activation_dtype;
  const DType own = model.config.dtype.value_or(DType::float32);
  std::vector<DType> dtypes;
  dtypes.reserve(model.graph.weights.size());
  for (const WeightSpec& spec : model.graph.weights) {
    dtypes.push_back(model.random ? stored_dtype(spec.use, own, activation)
                                  : stored_dtype(spec, model.checkpoint, activation));
  }
  return dtypes;
}

std::vector<Weight> place_weights(const OpenedModel& model, Backend& backend, Arena& arena) {
  const TimedPhase phase("placing the weights");
  auto weights = model.random ? make_random(model, backend, arena)
                              : load_from_checkpoint(model, backend, arena);
  backend.wait();
  return weights;
}

}  // namespace quern
