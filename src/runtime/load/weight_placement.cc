#include "runtime/load/weight_placement.h"

#include "base/check.h"
#include "model/random_weights.h"
#include "runtime/load/timed_phase.h"
#include "weights/load.h"

namespace quern {
namespace {

/// Counts the bytes of the weights that are done, for a caller who wants to know.
class ProgressReport {
 public:
  ProgressReport(std::span<const Weight> weights, const LoadCallback& on_load)
      : on_load_(&on_load) {
    for (const Weight& weight : weights) progress_.total_bytes += bytes_of(weight);
    report();
  }

  void add(const Weight& weight) {
    progress_.done_bytes += bytes_of(weight);
    report();
  }

 private:
  static std::uint64_t bytes_of(const Weight& weight) {
    return storage_bytes(weight.format, weight.shape(), weight.layout);
  }
  void report() const {
    if (*on_load_) (*on_load_)(progress_);
  }

  const LoadCallback* on_load_;
  LoadProgress progress_;
};

void make_random(const OpenedModel& model, Backend& backend, std::span<const Weight> weights,
                 ProgressReport& progress) {
  const auto runs = random_weights(model.graph, *model.random);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Weight& weight = weights[i];
    QUERN_CHECK(weight.layout == WeightLayout::row_major);
    for (const RandomRun& run : runs[i]) {
      backend.fill_random(run, weight.format.stored, weight.values.data);
    }
    progress.add(weight);
  }
}

void load_from_checkpoint(const OpenedModel& model, Backend& backend,
                          std::span<const Weight> weights, ProgressReport& progress) {
  NumberWarnings warnings;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Weight& weight = weights[i];
    const Weight uploaded =
        load_weight(model.checkpoint, model.graph.weights[i], weight.format, warnings,
                    [&](const WeightSource& source) {
                      return backend.upload(source, weight.layout, weight.values.data);
                    });
    QUERN_CHECK(uploaded.layout == weight.layout &&
                uploaded.values.row_stride == weight.values.row_stride);
    progress.add(weight);
  }
  warnings.log_all(model.name);
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

std::vector<Weight> lay_out_weights(const OpenedModel& model, const Backend& backend,
                                    Arena& arena) {
  const auto formats = stored_formats(model);
  std::vector<Weight> weights;
  weights.reserve(formats.size());
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const WeightSpec& spec = model.graph.weights[i];
    const WeightLayout layout = backend.prepare(formats[i], spec.use);
    QUERN_CHECK(layout == WeightLayout::row_major);
    std::byte* data = arena.take(storage_bytes(formats[i], spec.shape(), layout));
    weights.push_back(row_major_weight(formats[i], spec.shape(), data, backend.device()));
  }
  return weights;
}

void read_weights(const OpenedModel& model, Backend& backend, std::span<const Weight> weights,
                  const LoadCallback& on_load) {
  const TimedPhase phase("reading the weights");
  ProgressReport progress(weights, on_load);
  if (model.random) {
    make_random(model, backend, weights, progress);
  } else {
    load_from_checkpoint(model, backend, weights, progress);
  }
  backend.wait();
}

}  // namespace quern
