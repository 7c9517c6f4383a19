#include "quern/quantize.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <variant>

#include "base/check.h"
#include "base/error.h"
#include "base/threads/thread_pool.h"
#include "quantize/calibration_run.h"
#include "quantize/model_writer.h"
#include "quantize/plan.h"
#include "quantize/rounding/input_squares.h"
#include "quantize/rounding/output_drift.h"
#include "quantize/rounding/round_matrix.h"
#include "quantize/rounding/smoothing.h"
#include "quern/safetensors.h"
#include "runtime/load/engine_plan.h"
#include "weights/load.h"
#include "weights/number_warnings.h"

namespace quern {
namespace fs = std::filesystem;
namespace {

/// On the CPU in float32, one text at a time, with room for the longest.
EngineOptions engine_options(const QuantizeOptions& options) {
  std::size_t longest = 1;
  for (const auto& text : options.calibration) longest = std::max(longest, text.size());
  EngineOptions engine;
  engine.device = DeviceChoice::cpu;
  engine.dtype = DType::float32;
  engine.threads = options.threads;
  engine.max_seqs = 1;
  engine.prefix_cache = false;
  if (!options.calibration.empty()) {
    engine.max_seq_len = static_cast<int>(longest);
    engine.max_tokens_per_step = static_cast<int>(longest);
  }
  return resolve_options(engine);
}

std::size_t count_tokens(const QuantizeOptions& options) {
  std::size_t count = 0;
  for (const auto& text : options.calibration) count += text.size();
  if (!options.calibration.empty() && count < kMinCalibrationTokens) {
    fail(ErrorCode::invalid_argument, "calibration: expected at least {} tokens, got {}",
         kMinCalibrationTokens, count);
  }
  return count;
}

/// The numbers of a matrix as the checkpoint has them, joined by rows.
std::vector<float> read_matrix(const Checkpoint& checkpoint, const WeightSpec& spec) {
  std::vector<float> values(static_cast<std::size_t>(spec.out_features * spec.in_features));
  NumberWarnings warnings;
  load_weight(checkpoint, spec, {.stored = DType::float32}, warnings,
              [&](const WeightSource& source) {
                source.reader(WeightComponent::values)(0, spec.out_features,
                                                       reinterpret_cast<std::byte*>(values.data()));
                return Weight{};
              });
  const auto bad = std::ranges::find_if(values, [](float value) { return !std::isfinite(value); });
  if (bad != values.end()) {
    fail(ErrorCode::unsupported, "{}: {}: expected finite numbers to quantize, got {}",
         checkpoint.folder().string(), spec.name, *bad);
  }
  return values;
}

/// Quantizes the matrices of a model one after the other.
class Quantizer {
 public:
  Quantizer(const OpenedModel& model, const QuantizePlan& plan, const QuantizeOptions& options,
            const EngineOptions& engine, ModelWriter& writer)
      : model_(model), plan_(plan), options_(options), pool_(engine.threads), writer_(writer) {}

  void run_without_calibration() {
    report(0);
    for (std::size_t i = 0; i < plan_.matrices.size(); ++i) {
      const WeightSpec& spec = model_.graph.weight(plan_.matrices[i]);
      const std::vector<float> values = read_matrix(model_.checkpoint, spec);
      writer_.write_matrix(spec, round_to_nearest(to_round(spec, values), pool_));
      report(i + 1);
    }
  }

  void run_with_calibration(CalibrationRun& run) {
    report(0);
    std::size_t num_done = 0;
    for (const Node& node : run.graph().nodes) {
      const auto* linear = std::get_if<Linear>(&node.op);
      const auto* norm_linear = std::get_if<NormLinear>(&node.op);
      const std::optional<WeightId> weight = linear != nullptr        ? linear->weight
                                             : norm_linear != nullptr ? norm_linear->weight
                                                                      : std::optional<WeightId>();
      if (weight && std::ranges::count(plan_.matrices, *weight) > 0) {
        quantize_node(run, node, *weight);
        report(++num_done);
        if (num_done == plan_.matrices.size()) return;
      } else {
        run.run(node, CalibrationStream::original);
      }
      run.run(node, CalibrationStream::quantized);
    }
  }

 private:
  void report(std::size_t num_done) const {
    if (options_.on_progress) options_.on_progress({num_done, plan_.matrices.size()});
  }

  MatrixToRound to_round(const WeightSpec& spec, std::span<const float> values) const {
    return {values, spec.in_features, plan_.grid, scale_dtype_of(model_.checkpoint, spec),
            plan_.group_size_of(spec)};
  }

  void quantize_node(CalibrationRun& run, const Node& node, WeightId id) {
    const WeightSpec& spec = model_.graph.weight(id);
    std::vector<float> values = read_matrix(model_.checkpoint, spec);
    InputSquares squares(spec.in_features, pool_);
    OutputDrift drift(values, spec.in_features, pool_);
    run.read_inputs(node, [&](std::span<const float> rows, std::span<const float> original_rows) {
      squares.add(rows);
      drift.add(rows, original_rows);
    });
    squares.finish();
    drift.finish();
    // Nothing is run after the last matrix.
    if (id != plan_.matrices.back()) run.run(node, CalibrationStream::original);
    const auto* norm_linear = std::get_if<NormLinear>(&node.op);
    if (options_.smooth && norm_linear != nullptr) {
      smooth(run, *norm_linear, values, squares, drift);
    }
    const QuantizedRows rounded =
        round_with_feedback(to_round(spec, values), squares.values(), drift.values(), pool_);
    writer_.write_matrix(spec, rounded);
    dequantize(rounded, plan_.grid, values);
    run.write_weight(id, values);
  }

  void smooth(CalibrationRun& run, const NormLinear& op, std::vector<float>& values,
              InputSquares& squares, OutputDrift& drift) {
    std::vector<float> gain = run.read_weight(op.gain);
    std::vector<float> bias = op.norm_bias ? run.read_weight(*op.norm_bias) : std::vector<float>();
    const auto dtype_of = [&](WeightId id) {
      return scale_dtype_of(model_.checkpoint, model_.graph.weight(id));
    };
    const std::vector<float> factors = fold_into_norm(
        smoothing_factors(squares.largest(), values, *options_.smooth), dtype_of(op.gain), gain,
        op.norm_bias ? dtype_of(*op.norm_bias) : DType::float32, bias);
    for (std::size_t at = 0; at < values.size(); ++at) values[at] *= factors[at % factors.size()];
    std::vector<float> inverse(factors.size());
    std::ranges::transform(factors, inverse.begin(), [](float factor) { return 1.0f / factor; });
    squares.scale(inverse);
    drift.scale(inverse);
    run.write_weight(op.gain, gain);
    writer_.write_vector(model_.graph.weight(op.gain), gain);
    if (!op.norm_bias) return;
    run.write_weight(*op.norm_bias, bias);
    writer_.write_vector(model_.graph.weight(*op.norm_bias), bias);
  }

  const OpenedModel& model_;
  const QuantizePlan& plan_;
  const QuantizeOptions& options_;
  ThreadPool pool_;
  ModelWriter& writer_;
};

}  // namespace

QuantizedFolder quantize(const std::string& model, const fs::path& folder,
                         const QuantizeOptions& options) {
  const std::size_t num_tokens = count_tokens(options);
  const EngineOptions engine = engine_options(options);
  const OpenedModel opened = open_model(model, engine);
  const QuantizePlan plan = plan_quantization(opened, options);
  OutputFolder::check(folder);
  // Texts that do not fit are found before anything is written.
  std::optional<CalibrationRun> run;
  if (!options.calibration.empty()) run.emplace(opened, options.calibration, engine);
  ModelWriter writer(opened, plan, folder);
  Quantizer quantizer(opened, plan, options, engine, writer);
  if (run) {
    quantizer.run_with_calibration(*run);
  } else {
    quantizer.run_without_calibration();
  }
  run.reset();
  writer.finish();
  QuantizedFolder result;
  result.folder = folder;
  result.group_size = static_cast<int>(plan.group_size);
  result.num_matrices = plan.matrices.size();
  result.ignored_modules = plan.ignored_modules;
  result.num_calibration_tokens = num_tokens;
  result.source_bytes = opened.checkpoint.total_bytes();
  result.quantized_bytes = writer.total_bytes();
  return result;
}

}  // namespace quern
