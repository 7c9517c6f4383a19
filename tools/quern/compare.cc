#include "quern/compare.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/generation/prompts.h"
#include "tools/output/console.h"
#include "tools/output/interrupt.h"
#include "tools/output/load_progress.h"
#include "tools/output/output_options.h"
#include "tools/output/progress.h"
#include "tools/quality/engine_spec.h"
#include "tools/quern/command.h"
#include "tools/report/compare_output.h"

namespace quern::tools {
namespace {

struct CommandOptions {
  SourceOptions source;
  CompareOptions compare;
  PromptOptions prompts;
  std::string reference_file;
  bool no_bos = false;
  bool no_parse_special = false;
  bool free_running = false;
  bool all = false;
  OutputOptions output;
};

std::vector<Request> make_requests(const CommandOptions& options, const ModelSource& model) {
  const std::vector<Prompt> prompts = read_prompts(options.prompts);
  reject_empty(prompts);
  if (is_random(model)) reject_texts(prompts);
  Request request;
  request.parse_special = !options.no_parse_special;
  if (options.no_bos) request.add_bos = false;
  std::vector<Request> requests;
  for (const Prompt& prompt : prompts) {
    request.prompt = prompt.text;
    request.prompt_ids = prompt.ids;
    requests.push_back(request);
  }
  return requests;
}

/// An engine compared with itself passes whatever it computes.
void reject_same_engine(const ModelSource& model, const CompareOptions& compare) {
  const std::string tested = engine_name(model, compare.tested);
  EngineOptions reference = compare.tested;
  reference.device = compare.reference_device;
  reference.device_index = compare.reference_device_index;
  if (compare.reference_dtype) reference.dtype = compare.reference_dtype;
  // compare() gives the reference the tested side's dtype by default. On another device the name
  // here may have another dtype, but differs in any case.
  if (engine_name(model, reference) != tested) return;
  usage_error(
      "{} is compared with itself; choose another --device or --reference-device, another --dtype "
      "or --reference-dtype, or a file for --reference",
      tested);
}

Comparison run_both(const ModelSource& model, const CommandOptions& options,
                    const InterruptScope& interrupt) {
  CompareOptions compare_options = options.compare;
  compare_options.tested.on_load = load_progress(options.output, &interrupt);
  if (!options.reference_file.empty()) {
    return compare_with_file(model, options.reference_file, compare_options);
  }
  const std::vector<Request> requests = make_requests(options, model);
  reject_same_engine(model, compare_options);
  std::optional<ProgressBar> progress;  // not before the weights' bar is gone
  std::size_t num_tokens = 0;
  compare_options.on_step = [&](const ComparedStep& step) {
    if (!progress) progress.emplace(0, shows_progress(options.output), "tokens compared");
    num_tokens += static_cast<std::size_t>(step.num_tokens);
    progress->set(num_tokens, num_tokens);
    return !interrupt.requested();
  };
  return compare(model, requests, compare_options);
}

ExitCode run_compare(const CommandOptions& options) {
  const ModelSource model = chosen_source(options.source);
  const InterruptScope interrupt;
  const Comparison comparison = run_both(model, options, interrupt);
  if (options.output.json) {
    print_json(comparison_json(comparison, options.reference_file));
  } else {
    const bool colour = wants_colour(kStdout);
    write_stdout(options.all ? comparison_text(comparison, options.reference_file, colour)
                             : comparison_summary(comparison, options.reference_file, colour));
  }
  if (interrupt.requested()) return ExitCode::interrupted;
  return comparison.first_over_bound() == nullptr ? ExitCode::done : ExitCode::check_failed;
}

/// The options that only make sense against another device or dtype, not against a file.
std::vector<const CLI::Option*> add_reference_options(CLI::App& app, CommandOptions& options) {
  CompareOptions& compare = options.compare;
  OptionGroup group(app, "Comparison");
  const CLI::Option* device = group.value(
      {"--reference-device", "DEVICE", "Compare with it: cpu, cuda or cuda:N (default: cpu)"},
      [&compare](const std::string& option, const std::string& value) {
        EngineOptions given;
        parse_device(option, value, given);
        compare.reference_device = given.device;
        compare.reference_device_index = given.device_index;
      });
  const CLI::Option* dtype = group.value(
      {"--reference-dtype", "DTYPE", "And in it: same, float32, float16, bfloat16 (default: same)"},
      [&compare](const std::string& option, const std::string& value) {
        compare.reference_dtype = parse_dtype(option, value, "same");
      });
  const CLI::Option* free_running =
      group.flag("--free-running", options.free_running,
                 "Let errors add up instead of giving each node the reference's inputs");
  const CLI::Option* decode_steps =
      group.integer({"--decode-steps", "N", "Steps of one token after the prompts (default: 2)"},
                    compare.decode_steps, 0);
  return {device, dtype, free_running, decode_steps};
}

}  // namespace

Action add_compare(CLI::App& app) {
  const auto options = std::make_shared<CommandOptions>();
  add_source_options(app, options->source);
  const PromptSources sources = add_prompt_options(app, options->prompts);
  add_encode_options(app, options->no_bos, options->no_parse_special);
  const std::vector<const CLI::Option*> reference = add_reference_options(app, *options);
  OptionGroup group(app, "Comparison");
  const CLI::Option* file = group.value(
      {"--reference", "FILE", "Compare with the values in a safetensors file, for its prompt"},
      [options](const std::string& option, const std::string& value) {
        if (value.empty()) usage_error("{}: expected a file, got ''", option);
        options->reference_file = value;
      });
  group.value({"--max-nmse", "X", "Fail (exit code 3) when a row's error is larger than this"},
              [options](const std::string& option, const std::string& value) {
                options->compare.max_nmse =
                    parse_float(option, value, {0.0, kAnyNumber, true, "0 or more"});
              });
  OptionGroup output(app, "Output");
  output.flag("--all", options->all, "Print every value, not only the worst");
  add_output_options(app, options->output);
  const CLI::Option* max_seqs = add_engine_options(app, options->compare.tested);
  return [=] {
    reject_together(sources.all());
    reject_with(file, reference);
    reject_with(file, sources.all());
    if (max_seqs->count() != 0) usage_error("--max-seqs: compare runs all prompts at once");
    options->compare.lock_step = !options->free_running;
    apply_output_options(options->output);
    return run_compare(*options);
  };
}

}  // namespace quern::tools
