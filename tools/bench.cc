#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "quern/error.h"
#include "tools/bench/report.h"
#include "tools/bench/run_cell.h"
#include "tools/command.h"
#include "tools/console.h"
#include "tools/environment_json.h"
#include "tools/interrupt.h"
#include "tools/model_options.h"
#include "tools/option_group.h"
#include "tools/output_options.h"
#include "tools/progress.h"
#include "tools/usage_error.h"

namespace quern::tools {
namespace {

struct BenchOptions {
  SourceOptions source;
  EngineOptions engine;
  std::vector<int> batch_sizes = {1};
  std::vector<Lengths> lengths = {{128, 128}};
  BenchSettings settings;
  std::optional<float> duration;
  bool csv = false;
  OutputOptions output;
};

/// A prefill this large keeps any GPU busy; larger ones take memory alone.
constexpr int kMaxTokensPerStep = 8192;

/// What the largest of the cells need. Prompts of one cell run in as few steps as can be.
EngineOptions limits_for(const BenchOptions& options, const std::vector<BenchCell>& cells) {
  EngineOptions engine = options.engine;
  int max_tokens = 1;
  engine.max_seqs = 1;
  engine.max_seq_len = 1;
  for (const BenchCell& cell : cells) {
    engine.max_seqs = std::max(engine.max_seqs, cell.batch_size);
    engine.max_seq_len = std::max(engine.max_seq_len, cell.seq_len());
    const std::int64_t tokens = std::int64_t{cell.batch_size} * cell.input_len;
    max_tokens =
        std::max(max_tokens, static_cast<int>(std::min<std::int64_t>(tokens, kMaxTokensPerStep)));
  }
  engine.max_tokens_per_step = std::max(max_tokens, engine.max_seqs);
  return engine;
}

/// Why an engine of this plan has no room for the cell; nothing where it has.
std::string lack_of_room(const Engine& engine, const BenchCell& cell) {
  const MemoryPlan& plan = engine.memory_plan();
  const std::int64_t blocks_per_seq =
      (cell.seq_len() + plan.kv_block_tokens - 1) / plan.kv_block_tokens;
  const std::int64_t needed = blocks_per_seq * cell.batch_size;
  if (needed <= plan.num_kv_blocks) return "";
  const auto block_bytes = plan.kv_cache_bytes / static_cast<std::uint64_t>(plan.num_kv_blocks);
  return fmt::format("{} bytes missing: its KV cache needs {}, there are {}",
                     static_cast<std::uint64_t>(needed - plan.num_kv_blocks) * block_bytes,
                     static_cast<std::uint64_t>(needed) * block_bytes, plan.kv_cache_bytes);
}

CellResult& largest_cell(std::vector<CellResult>& results) {
  const auto tokens = [](const CellResult& result) {
    return result.skipped.empty() ? std::int64_t{result.cell.batch_size} * result.cell.seq_len()
                                  : -1;
  };
  return *std::max_element(
      results.begin(), results.end(),
      [&](const CellResult& a, const CellResult& b) { return tokens(a) < tokens(b); });
}

/// All cells of the sweep; those longer than the model's context are marked.
std::vector<CellResult> planned_cells(const BenchOptions& options, const ModelSource& model) {
  const int limit = inspect(model, options.engine).info.max_position_embeddings;
  std::vector<CellResult> results;
  for (const BenchCell& cell : all_cells(options.batch_sizes, options.lengths)) {
    results.emplace_back().cell = cell;
    if (cell.seq_len() <= limit) continue;
    results.back().skipped =
        fmt::format("{} tokens, the model's max_position_embeddings is {}", cell.seq_len(), limit);
  }
  return results;
}

/// An engine for as many of the cells as one can have room for. The cells that it was not made for
/// are marked as skipped, with the reason: the largest ones first, as long as memory does not do.
std::optional<Engine> make_engine(const BenchOptions& options, const ModelSource& model,
                                  std::vector<CellResult>& results) {
  while (true) {
    std::vector<BenchCell> cells;
    for (const CellResult& result : results) {
      if (result.skipped.empty()) cells.push_back(result.cell);
    }
    if (cells.empty()) return std::nullopt;
    try {
      Engine engine = Engine::load(model, limits_for(options, cells));
      for (CellResult& result : results) {
        if (result.skipped.empty()) result.skipped = lack_of_room(engine, result.cell);
      }
      return engine;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::out_of_memory) throw;
      largest_cell(results).skipped = error.what();
    }
  }
}

OrderedJson memory_json(const MemoryPlan& plan) {
  return {{"weight_bytes", plan.weight_bytes},
          {"kv_cache_bytes", plan.kv_cache_bytes},
          {"activation_bytes", plan.activation_bytes},
          {"workspace_bytes", plan.workspace_bytes},
          {"step_input_bytes", plan.step_input_bytes}};
}

OrderedJson settings_json(const BenchOptions& options) {
  return {{"warm_up", options.settings.warm_up},
          {"runs", options.settings.runs},
          {"duration_s", options.settings.min_seconds},
          {"seed", options.settings.seed},
          {"skip_steps", options.engine.skip_steps},
          {"check_interval", options.engine.check_interval}};
}

OrderedJson engine_json(const Engine& engine) {
  return {{"model", engine.info().name},
          {"weights", engine.info().random_weights ? "random" : "checkpoint"},
          {"device", device_name(engine.options())},
          {"dtype", dtype_name(engine.options())},
          {"max_tokens_per_step", engine.options().max_tokens_per_step},
          {"memory", memory_json(engine.memory_plan())},
          {"peak_memory_bytes", engine.timing().peak_memory_bytes}};
}

OrderedJson report_json(const BenchOptions& options, const std::optional<Engine>& engine,
                        double read_gbps, const std::vector<CellResult>& results) {
  OrderedJson json = {{"schema", "quern bench"},
                      {"schema_version", kBenchSchemaVersion},
                      {"environment", environment_json(environment())},
                      {"settings", settings_json(options)},
                      {"engine", engine ? engine_json(*engine) : OrderedJson(nullptr)},
                      {"read_gbps", rounded(read_gbps, 1)},
                      {"cells", OrderedJson::array()}};
  for (const CellResult& result : results) json["cells"].push_back(bench_cell_json(result));
  return json;
}

/// What reading weights and KV cache takes in the middle of a cell's decode steps.
double floor_ms(const Engine& engine, const BenchCell& cell, double read_gbps) {
  const StepCost cost = engine.decode_cost(cell.batch_size, cell.input_len + cell.output_len / 2);
  return (cost.weight_bytes + cost.kv_bytes) / (read_gbps * 1e6);
}

std::string head_text(const Engine& engine, double read_gbps) {
  return fmt::format("{}{}, {} on {}; long reads reach {:.0f} GB/s\n", engine.info().name,
                     engine.info().random_weights ? " (random weights)" : "",
                     dtype_name(engine.options()), device_name(engine.options()), read_gbps);
}

ExitCode bench(const BenchOptions& options) {
  const ModelSource model = chosen_source(options.source);
  std::vector<CellResult> results = planned_cells(options, model);
  std::optional<Engine> engine = make_engine(options, model, results);
  const double read_gbps = engine ? engine->measure_read_gbps() : 0.0;
  const OutputOptions& output = options.output;
  const bool table = !output.json && !options.csv;
  if (table && engine) write_stdout(head_text(*engine, read_gbps) + bench_table_head());
  if (options.csv) write_stdout(bench_csv_head());

  const InterruptScope interrupt;
  ProgressBar progress(results.size(), !output.quiet && is_terminal(kStderr), "cells");
  for (CellResult& result : results) {
    if (interrupt.requested()) result.skipped = "interrupted";
    if (result.skipped.empty()) {
      const double floor = floor_ms(*engine, result.cell, read_gbps);
      result =
          run_cell(*engine, result.cell, options.settings, [&] { return interrupt.requested(); });
      result.decode_floor_ms = floor;
    }
    progress.clear();
    if (table) write_stdout(bench_table_row(result));
    if (options.csv && result.skipped.empty()) write_stdout(bench_csv_row(result));
    progress.add_finished();
  }
  progress.clear();
  if (output.json) print_json(report_json(options, engine, read_gbps, results));
  return interrupt.requested() ? ExitCode::interrupted : ExitCode::done;
}

}  // namespace

Action add_bench(CLI::App& app) {
  const auto options = std::make_shared<BenchOptions>();
  add_source_options(app, options->source);
  OptionGroup cells(app, "Cells");
  cells.value({"-b,--batch-size", "LIST", "Prompts at a time: \"1;8;16\" (default: 1)"},
              [options](const std::string& option, const std::string& value) {
                options->batch_sizes = parse_batch_sizes(option, value);
              });
  cells.value(
      {"--input-output-len", "LIST", "Prompt and new tokens: \"64,20;128,20\" (default: 128,128)"},
      [options](const std::string& option, const std::string& value) {
        options->lengths = parse_lengths(option, value);
      });
  cells.integer({"--warm-up", "N", "Runs before those that count (default: 2)"},
                options->settings.warm_up, 0);
  cells.integer({"--runs", "N", "At least so many runs of each cell (default: 10)"},
                options->settings.runs, 1);
  cells.number({"--duration", "SECONDS", "And at least so long (default: 0)"}, options->duration,
               {0, 1e6, true, "a number from 0 to 1000000"});
  cells.value({"--seed", "N", "Of the prompts' random ids (default: 0)"},
              [options](const std::string& option, const std::string& value) {
                options->settings.seed = parse_unsigned(option, value);
              });
  OptionGroup output(app, "Output");
  const CLI::Option* csv = output.flag("--csv", options->csv, "Print comma-separated values");
  add_output_options(app, options->output);
  add_device_options(app, options->engine);
  add_loop_options(app, options->engine);
  const CLI::Option* json = app.get_option("--json");
  return [=] {
    reject_together({csv, json});
    options->settings.min_seconds = options->duration.value_or(0.0F);
    apply_output_options(options->output);
    return bench(*options);
  };
}

}  // namespace quern::tools
