#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/document.h"
#include "tools/bench/report.h"
#include "tools/bench/run_cell.h"
#include "tools/bench/stress_report.h"
#include "tools/bench/sweep_plan.h"
#include "tools/cli/fail.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/output/console.h"
#include "tools/output/interrupt.h"
#include "tools/output/load_progress.h"
#include "tools/output/output_options.h"
#include "tools/output/progress.h"
#include "tools/quern/bench_serve.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

struct BenchOptions {
  SourceOptions source;
  EngineOptions engine;
  std::vector<int> batch_sizes = {1};
  std::vector<Lengths> lengths = {{128, 128}};
  BenchSettings settings;
  std::optional<float> duration;
  std::optional<float> stress_seconds;
  std::optional<float> rate;
  std::optional<int> requests;
  bool csv = false;
  OutputOptions output;
};

/// The engine for the cells that have room, and the ceilings that they are compared with.
struct BenchSubject {
  std::optional<Engine> engine;
  Ceilings ceilings;
};

BenchSubject prepare(const BenchOptions& options, const ModelSource& model,
                     std::vector<CellResult>& results) {
  EngineOptions engine_options = options.engine;
  engine_options.on_load = load_progress(options.output);
  BenchSubject subject;
  subject.engine = make_engine(model, engine_options, results);
  if (!subject.engine) return subject;
  ProgressBar progress(1, shows_progress(options.output), "measurements of the device");
  subject.ceilings = measure_ceilings(*subject.engine);
  return subject;
}

std::string cell_detail(const BenchCell& cell, int run) {
  return fmt::format("batch {}, {},{}: run {}", cell.batch_size, cell.input_len, cell.output_len,
                     run);
}

ExitCode sweep(const BenchOptions& options) {
  const ModelSource model = chosen_source(options.source);
  std::vector<CellResult> results =
      planned_cells(all_cells(options.batch_sizes, options.lengths), model, options.engine);
  auto [engine, ceilings] = prepare(options, model, results);
  const OutputOptions& output = options.output;
  const bool table = !output.json && !options.csv;
  if (table && engine) write_stdout(bench_head_text(*engine, ceilings) + bench_table_head());
  if (options.csv) write_stdout(bench_csv_head());

  const InterruptScope interrupt;
  const auto interrupted = [&] { return interrupt.requested(); };
  ProgressBar progress(results.size(), shows_progress(output), "cells");
  for (CellResult& result : results) {
    if (interrupted()) result.skipped = "interrupted";
    if (result.skipped.empty()) {
      int run = 1;
      progress.set_detail(cell_detail(result.cell, run));
      const auto on_run = [&] { progress.set_detail(cell_detail(result.cell, ++run)); };
      result = run_cell(*engine, result.cell, options.settings, ceilings, {interrupted, on_run});
    }
    progress.clear();
    if (table) write_stdout(bench_table_row(result));
    if (options.csv && result.skipped.empty()) write_stdout(bench_csv_row(result));
    progress.add_finished();
  }
  progress.clear();
  if (output.json) {
    OrderedJson json = bench_document_json(options.settings, options.engine, engine, ceilings);
    json["cells"] = OrderedJson::array();
    for (const CellResult& result : results) json["cells"].push_back(bench_cell_json(result));
    print_json(json);
  }
  return interrupted() ? ExitCode::interrupted : ExitCode::done;
}

StressSettings stress_settings(const BenchOptions& options) {
  StressSettings settings;
  settings.num_requests = options.requests.value_or(0);
  settings.seconds = options.stress_seconds.value_or(0.0F);
  if (options.rate) settings.rate = *options.rate;
  settings.max_input_len = options.lengths.front().input_len;
  settings.max_output_len = options.lengths.front().output_len;
  settings.warm_up = options.settings.warm_up;
  settings.seed = options.settings.seed;
  return settings;
}

ExitCode stress(const BenchOptions& options) {
  const ModelSource model = chosen_source(options.source);
  std::vector<CellResult> largest =
      planned_cells(all_cells(options.batch_sizes, options.lengths), model, options.engine);
  auto [engine, ceilings] = prepare(options, model, largest);
  if (!engine || !largest.front().skipped.empty()) {
    fail(ErrorCode::invalid_argument, "no room for {} sequences of {} tokens: {}",
         options.batch_sizes.front(), largest.front().cell.seq_len(), largest.front().skipped);
  }
  const OutputOptions& output = options.output;
  if (!output.json) write_stdout(bench_head_text(*engine, ceilings));

  const InterruptScope interrupt;
  const StressSettings settings = stress_settings(options);
  ProgressBar progress(0, shows_progress(output), "requests");
  const StressResult result = run_stress(
      *engine, settings, [&] { return interrupt.requested(); },
      [&](std::uint64_t come, std::uint64_t done) { progress.set(done, come); });
  progress.clear();
  if (output.json) {
    OrderedJson json = bench_document_json(options.settings, options.engine, engine, ceilings);
    json["cells"] = OrderedJson::array();
    json["stress"] = stress_json(settings, result);
    print_json(json);
  } else {
    write_stdout(stress_table(settings, result));
  }
  return interrupt.requested() ? ExitCode::interrupted : ExitCode::done;
}

bool is_stress(const BenchOptions& options) { return options.stress_seconds || options.requests; }

void check_stress(const BenchOptions& options) {
  if (options.rate && !options.stress_seconds) usage_error("--rate needs --stress");
  if (!is_stress(options)) {
    if (options.engine.time_steps) usage_error("--step-times needs --stress or --requests");
    return;
  }
  const char* name = options.requests ? "--requests" : "--stress";
  if (options.batch_sizes.size() != 1) usage_error("{}: expected one --batch-size", name);
  if (options.lengths.size() != 1) usage_error("{}: expected one --input-output-len", name);
}

struct StressFlags {
  CLI::Option* seconds = nullptr;
  CLI::Option* requests = nullptr;
};

StressFlags add_stress_options(CLI::App& app, BenchOptions& options) {
  OptionGroup group(app, "Stress");
  StressFlags flags;
  flags.seconds =
      group.number({"--stress", "SECONDS",
                    "In place of a sweep: for that long submit requests of random lengths up to "
                    "--input-output-len, --batch-size of them at a time"},
                   options.stress_seconds, {0, 1e6, false, "a number above 0, up to 1000000"});
  group.number({"--rate", "N", "Requests a second, on average (default: 4)"}, options.rate,
               {0, 1e6, false, "a number above 0, up to 1000000"});
  flags.requests =
      group.integer({"--requests", "N", "In place of --stress: so many of these requests at once"},
                    options.requests, 1);
  group.flag("--step-times", options.engine.time_steps,
             "Time each step on the device, and how long the device waited before it");
  return flags;
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
  const StressFlags stress_flags = add_stress_options(app, *options);
  OptionGroup output(app, "Output");
  const CLI::Option* csv = output.flag("--csv", options->csv, "Print comma-separated values");
  add_output_options(app, options->output);
  add_device_options(app, options->engine);
  add_kv_reservation_option(app, options->engine, "full");
  add_loop_options(app, options->engine);
  const CLI::Option* json = app.get_option("--json");
  CLI::App* serve = app.add_subcommand("serve", "Load a server of OpenAI's HTTP API and time it");
  serve->group("Commands");
  serve->footer(
      "Example:\n  quern bench serve --url http://127.0.0.1:8000 --rate 10 --input-len 1-512");
  const Action bench_serve = add_bench_serve(*serve);
  serve->set_help_flag("-h,--help", "Show this help")->group("Output");
  return [=] {
    if (serve->parsed()) return bench_serve();
    reject_together({csv, json});
    reject_together({csv, stress_flags.seconds});
    reject_together({csv, stress_flags.requests});
    reject_together({stress_flags.seconds, stress_flags.requests});
    check_stress(*options);
    options->settings.min_seconds = options->duration.value_or(0.0F);
    apply_output_options(options->output);
    return is_stress(*options) ? stress(*options) : sweep(*options);
  };
}

}  // namespace quern::tools
