#include "runtime/load/weight_placement.h"

#include <algorithm>
#include <map>
#include <variant>

#include "base/check.h"
#include "base/error.h"
#include "model/random_weights.h"
#include "runtime/load/timed_phase.h"
#include "weights/load.h"
#include "weights/quant/quantize.h"
#include "weights/quant/quantized_tensor.h"
#include "weights/random.h"

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

/// Which weights are the matrices of projections other than the lm_head, the last one.
std::vector<bool> layer_matrices(const Graph& graph) {
  std::vector<bool> chosen(graph.weights.size());
  std::optional<WeightId> last;
  for (const Node& node : graph.nodes) {
    const auto* norm_linear = std::get_if<NormLinear>(&node.op);
    const auto* linear = std::get_if<Linear>(&node.op);
    if (norm_linear == nullptr && linear == nullptr) continue;
    if (last) chosen[static_cast<std::size_t>(*last)] = true;
    last = norm_linear != nullptr ? norm_linear->weight : linear->weight;
  }
  return chosen;
}

/// What the module of a checkpoint was made to round inputs to.
ActivationFormat checkpoint_inputs(const OpenedModel& model, const WeightSpec& spec) {
  std::optional<ActivationFormat> common;
  for (const WeightPart& part : spec.parts) {
    if (!part.quantized) continue;
    const auto& inputs = part.quantized->scheme.inputs;
    if (!inputs || (common && *common != *inputs)) {
      fail(ErrorCode::unsupported,
           "quantize_activations checkpoint: {}: {}: expected dynamic symmetric scales of 8 bits "
           "for tokens or groups of inputs, alike in joined modules; off uses inputs as they are",
           model.config.quantization->where(), part.quantized->module);
    }
    common = inputs;
  }
  return common.value_or(ActivationFormat{});
}

/// What a GEMM with a weight of this format rounds its inputs to.
ActivationFormat chosen_inputs(const OpenedModel& model, const WeightSpec& spec,
                               const WeightFormat& format) {
  if (!format.is_quantized()) return {};
  switch (model.quantize_activations) {
    case ActivationQuantization::off:
      break;
    case ActivationQuantization::checkpoint:
      if (model.quantize == DType::float8_e4m3) {
        return {.rounding = ActivationRounding::float8_e4m3};
      }
      return checkpoint_inputs(model, spec);
    case ActivationQuantization::int8: {
      WeightFormat rounded = format;
      rounded.activation = {ActivationRounding::int8, kIntegerBlock};
      if (multiplies_integers(rounded, spec.in_features)) return rounded.activation;
      break;
    }
    case ActivationQuantization::token:
      return {.rounding = ActivationRounding::int8};
  }
  return {};
}

void make_random(const OpenedModel& model, Backend& backend, std::span<const Weight> weights,
                 ProgressReport& progress) {
  const auto runs = random_weights(model.graph, *model.random);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Weight& weight = weights[i];
    if (weight.format.is_quantized()) {
      QUERN_CHECK(runs[i].size() == 1, "{}: {} runs", model.graph.weights[i].name, runs[i].size());
      backend.fill_random_quantized(runs[i].front(), weight, model.graph.weights[i].name);
    } else {
      QUERN_CHECK(weight.layout == WeightLayout::row_major);
      for (const RandomRun& run : runs[i]) {
        backend.fill_random(run, weight.format.stored, weight.values.data);
      }
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
  const std::vector<bool> is_layer_matrix = layer_matrices(model.graph);
  for (std::size_t i = 0; i < model.graph.weights.size(); ++i) {
    const WeightSpec& spec = model.graph.weights[i];
    if (model.quantize && is_layer_matrix[i]) {
      formats.push_back(load_time_format(*model.quantize, spec.in_features));
    } else {
      formats.push_back(model.random ? stored_format(spec.use, own, activation)
                                     : stored_format(spec, model.checkpoint, activation));
    }
    formats.back().activation = chosen_inputs(model, spec, formats.back());
    if (model.quantize && is_layer_matrix[i]) {
      formats.back() =
          load_time_format(*model.quantize, spec.in_features, formats.back().activation);
    }
  }
  return formats;
}

std::vector<WeightStorage> summarize_weights(const OpenedModel& model, const Backend& backend) {
  std::map<std::string, WeightStorage> by_format;
  const auto formats = stored_formats(model);
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const WeightSpec& spec = model.graph.weights[i];
    const WeightLayout layout = backend.prepare(formats[i], spec.use);
    std::string name = format_name(formats[i]);
    if (formats[i].is_quantized() && layout == WeightLayout::row_major &&
        backend.device().kind == DeviceKind::cuda &&
        !multiplies_integers(formats[i], spec.in_features)) {
      name += ", dequantized for each product";
    }
    WeightStorage& storage = by_format[name];
    ++storage.num_weights;
    storage.num_parameters += static_cast<std::uint64_t>(spec.out_features * spec.in_features);
    storage.bytes += storage_bytes(formats[i], spec.shape(), layout);
  }
  std::vector<WeightStorage> summary;
  for (auto& [name, storage] : by_format) {
    storage.format = name;
    summary.push_back(storage);
  }
  std::ranges::stable_sort(summary, std::ranges::greater(), &WeightStorage::bytes);
  return summary;
}

QuantizationSummary summarize_quantization(const OpenedModel& model) {
  QuantizationSummary summary;
  if (!model.config.quantization) return summary;
  summary.method = model.config.quantization->method();
  const auto formats = stored_formats(model);
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const WeightSpec& spec = model.graph.weights[i];
    if (spec.use != WeightUse::matrix) continue;
    for (const WeightPart& part : spec.parts) {
      if (!part.quantized) {
        summary.float_modules.push_back(part.name.substr(0, part.name.rfind('.')));
        continue;
      }
      ++summary.num_quantized;
      summary.num_wrapped_zero_points += part.quantized->num_wrapped_zero_points;
      if (!formats[i].is_quantized()) summary.widened_modules.push_back(part.quantized->module);
    }
  }
  return summary;
}

std::vector<Weight> lay_out_weights(const OpenedModel& model, const Backend& backend,
                                    Arena& arena) {
  const auto formats = stored_formats(model);
  std::vector<Weight> weights;
  weights.reserve(formats.size());
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const WeightSpec& spec = model.graph.weights[i];
    const WeightLayout layout = backend.prepare(formats[i], spec.use);
    std::byte* data = arena.take(storage_bytes(formats[i], spec.shape(), layout));
    weights.push_back(view_weight(formats[i], spec.shape(), layout, data, backend.device()));
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
