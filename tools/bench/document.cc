#include "tools/bench/document.h"

#include <fmt/format.h>

#include "tools/cli/model_options.h"
#include "tools/output/text_table.h"
#include "tools/report/environment_json.h"

namespace quern::tools {
namespace {

OrderedJson memory_json(const MemoryPlan& plan) {
  return {{"weight_bytes", plan.weight_bytes},         {"kv_cache_bytes", plan.kv_cache_bytes},
          {"activation_bytes", plan.activation_bytes}, {"workspace_bytes", plan.workspace_bytes},
          {"step_input_bytes", plan.step_input_bytes}, {"recording_bytes", plan.recording_bytes}};
}

OrderedJson settings_json(const BenchSettings& settings, const EngineOptions& options) {
  return {{"warm_up", settings.warm_up},
          {"runs", settings.runs},
          {"duration_s", settings.min_seconds},
          {"seed", settings.seed},
          {"skip_steps", options.skip_steps},
          {"check_interval", options.check_interval},
          {"device_loop", device_loop_name(options.device_loop)}};
}

OrderedJson engine_json(const Engine& engine) {
  const EngineOptions& options = engine.options();
  return {{"model", engine.info().name},
          {"weights", engine.info().random_weights ? "random" : "checkpoint"},
          {"num_hidden_layers", engine.info().num_hidden_layers},
          {"device", device_name(options)},
          {"dtype", dtype_name(options)},
          {"threads", options.threads},
          {"max_seqs", options.max_seqs},
          {"max_seq_len", options.max_seq_len},
          {"max_tokens_per_step", options.max_tokens_per_step},
          {"load_ms", rounded(engine.timing().load_ms, 1)},
          {"memory", memory_json(engine.memory_plan())}};
}

}  // namespace

OrderedJson bench_document_json(const BenchSettings& settings, const EngineOptions& options,
                                const std::optional<Engine>& engine, const Ceilings& ceilings) {
  OrderedJson json = {{"schema", "quern bench"},
                      {"schema_version", kBenchSchemaVersion},
                      {"program", "quern"},
                      {"environment", environment_json(environment())},
                      {"settings", settings_json(settings, options)},
                      {"engine", nullptr},
                      {"ceilings", nullptr}};
  if (!engine) return json;
  json["engine"] = engine_json(*engine);
  json["ceilings"] = {{"read_gbps", rounded(ceilings.read_gbps, 1)},
                      {"product_tflops", rounded(ceilings.product_tflops, 6)}};
  return json;
}

std::string bench_head_text(const Engine& engine, const Ceilings& ceilings) {
  const MemoryPlan& plan = engine.memory_plan();
  return fmt::format(
      "{}{}, {} on {}; long reads reach {:.0f} GB/s, matrix products {:.3g} TFLOP/s\n"
      "weights {}, KV cache {}, activations {}, workspace {}\n",
      engine.info().name, engine.info().random_weights ? " (random weights)" : "",
      dtype_name(engine.options()), device_name(engine.options()), ceilings.read_gbps,
      ceilings.product_tflops, human_bytes(plan.weight_bytes), human_bytes(plan.kv_cache_bytes),
      human_bytes(plan.activation_bytes), human_bytes(plan.workspace_bytes));
}

}  // namespace quern::tools
