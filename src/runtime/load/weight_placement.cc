#include "runtime/load/weight_placement.h"

#include "base/check.h"
#include "model/random_weights.h"
#include "runtime/load/timed_phase.h"
#include "weights/load.h"

namespace quern {
namespace {

std::vector<Weight> make_random(const OpenedModel& model, Backend& backend, Arena& arena) {
  const auto runs = random_weights(model.graph, *model.random);
  const auto formats = stored_formats(model);
  std::vector<Weight> weights;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const WeightSpec& spec = model.graph.weights[i];
    const WeightFormat& format = formats[i];
    QUERN_CHECK(backend.prepare(format, spec.use) == WeightLayout::row_major);
    std::byte* data = arena.take(storage_bytes(format, spec.shape()));
    for (const RandomRun& run : runs[i]) backend.fill_random(run, format.stored, data);
    weights.push_back(row_major_weight(format, spec.shape(), data, backend.device()));
  }
  return weights;
}

std::vector<Weight> load_from_checkpoint(const OpenedModel& model, Backend& backend, Arena& arena) {
  const auto formats = stored_formats(model);
  std::vector<Weight> weights;
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const WeightSpec& spec = model.graph.weights[i];
    const WeightLayout layout = backend.prepare(formats[i], spec.use);
    std::byte* destination = arena.take(storage_bytes(formats[i], spec.shape(), layout));
    weights.push_back(load_weight(
        model.checkpoint, spec, formats[i],
        [&](const WeightSource& source) { return backend.upload(source, layout, destination); }));
  }
  return weights;
}

}  // namespace

std::vector<WeightFormat> stored_formats(const OpenedModel& model) {
  const DType activation = model.graph.activation_dtype;
  const DType own = model.config.dtype.value_or(DType::float32);
  std::vector<WeightFormat> formats;
  formats.reserve(model.graph.weights.size());
  for (const WeightSpec& spec : model.graph.weights) {
    formats.push_back(model.random ? stored_format(spec.use, own, activation)
                                   : stored_format(spec, model.checkpoint, activation));
  }
  return formats;
}

std::vector<Weight> place_weights(const OpenedModel& model, Backend& backend, Arena& arena) {
  const TimedPhase phase("placing the weights");
  auto weights = model.random ? make_random(model, backend, arena)
                              : load_from_checkpoint(model, backend, arena);
  backend.wait();
  return weights;
}

}  // namespace quern
