#include "runtime/load/weight_placement.h"

#include "base/check.h"
#include "model/random_weights.h"
#include "runtime/load/timed_phase.h"
#include "weights/load.h"

namespace quern {
namespace {

void make_random(const OpenedModel& model, Backend& backend, std::span<const Weight> weights) {
  const auto runs = random_weights(model.graph, *model.random);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Weight& weight = weights[i];
    for (const RandomRun& run : runs[i]) {
      backend.fill_random(run, weight.format.stored, weight.values.data);
    }
  }
}

void load_from_checkpoint(const OpenedModel& model, Backend& backend,
                          std::span<const Weight> weights) {
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Weight& weight = weights[i];
    const Weight uploaded = load_weight(
        model.checkpoint, model.graph.weights[i], weight.format.stored,
        [&](const WeightSource& source) { return backend.upload(source, weight.values.data); });
    QUERN_CHECK(uploaded.values.row_stride == weight.values.row_stride, "laid out another way");
  }
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

std::vector<Weight> lay_out_weights(const OpenedModel& model, const Backend& backend,
                                    Arena& arena) {
  const auto stored = stored_dtypes(model);
  std::vector<Weight> weights;
  weights.reserve(stored.size());
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const WeightSpec& spec = model.graph.weights[i];
    std::byte* data = arena.take(backend.upload_bytes(spec, stored[i]));
    weights.push_back(dense_weight({spec.use, stored[i], spec.out_features, spec.in_features, {}},
                                   data, backend.device()));
  }
  return weights;
}

void read_weights(const OpenedModel& model, Backend& backend, std::span<const Weight> weights) {
  const TimedPhase phase("reading the weights");
  if (model.random) {
    make_random(model, backend, weights);
  } else {
    load_from_checkpoint(model, backend, weights);
  }
  backend.wait();
}

}  // namespace quern
