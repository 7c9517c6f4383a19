#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "io/json.h"
#include "io/model_folder.h"
#include "io/text_file.h"
#include "model/config.h"
#include "quern/engine.h"
#include "tools/command.h"
#include "tools/console.h"
#include "tools/interrupt.h"
#include "tools/model_options.h"
#include "tools/option_group.h"
#include "tools/output_options.h"
#include "tools/progress.h"
#include "tools/quality/checks.h"
#include "tools/quality/engine_spec.h"
#include "tools/quality/judge.h"
#include "tools/quality/perplexity_report.h"
#include "tools/usage_error.h"

namespace quern::tools {
namespace {

constexpr int kMaxDefaultWindow = 2048;
constexpr int kDefaultStride = 512;

struct PerplexityOptions {
  std::string model;
  EngineOptions engine;
  std::string file;
  std::optional<int> window;
  std::optional<int> stride;
  std::optional<int> max_tokens;
  std::optional<std::string> against;
  std::optional<std::string> against_model;
  std::optional<std::string> save_logits;
  std::optional<float> max_perplexity_increase;
  std::optional<float> max_kl;
  OutputOptions output;

  bool has_reference() const { return against || against_model; }
};

WindowSettings window_settings(const PerplexityOptions& options, const std::string& model) {
  const int context = options.engine.max_seq_len != 0
                          ? options.engine.max_seq_len
                          : load_model_config(find_model_folder(model)).max_position_embeddings;
  const int window = options.window.value_or(std::min(context, kMaxDefaultWindow));
  if (window > context)
    usage_error("--window {}: expected at most the context, {}", window, context);
  const int stride = options.stride.value_or(std::min(kDefaultStride, window));
  if (stride > window) usage_error("--stride {}: expected at most the window, {}", stride, window);
  return {static_cast<std::size_t>(window), static_cast<std::size_t>(stride)};
}

std::vector<std::int32_t> read_ids(const PerplexityOptions& options, const Tokenizer& tokenizer) {
  constexpr std::size_t kMaxTextBytes = std::size_t{256} << 20;
  const std::string text = read_text_file(options.file, kMaxTextBytes);
  if (const auto offset = invalid_utf8_at(text)) {
    fail(ErrorCode::bad_file, "{}: expected UTF-8, got another byte at offset {}", options.file,
         *offset);
  }
  std::vector<std::int32_t> ids = tokenizer.encode(text);
  if (options.max_tokens) {
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(*options.max_tokens)));
  }
  if (ids.size() < 2) {
    fail(ErrorCode::bad_file, "{}: expected at least 2 tokens, got {}", options.file, ids.size());
  }
  return ids;
}

/// Null when none was asked for.
std::unique_ptr<ReferenceLogits> make_reference(const PerplexityOptions& options,
                                                const std::string& model,
                                                const EngineOptions& engine,
                                                const JudgedText& text) {
  if (!options.has_reference()) return nullptr;
  std::optional<EngineOptions> reference = engine;
  if (options.against) reference = parse_engine_spec(*options.against, engine);
  if (reference) return engine_logits(options.against_model.value_or(model), *reference, text);
  return saved_logits(*options.against, text);
}

std::vector<Check> make_checks(const PerplexityOptions& options, const Judgement& judgement) {
  std::vector<Check> checks;
  if (options.max_perplexity_increase) {
    checks.push_back({"max-perplexity-increase", judgement.perplexity_increase(),
                      *options.max_perplexity_increase});
  }
  if (options.max_kl) checks.push_back({"max-kl", judgement.mean_kl(), *options.max_kl});
  return checks;
}

ExitCode perplexity(const PerplexityOptions& options) {
  const std::string model = chosen_model(options.model);
  const WindowSettings settings = window_settings(options, model);
  EngineOptions engine_options = options.engine;
  engine_options.max_seq_len = static_cast<int>(settings.window);
  Engine engine = Engine::load(model, engine_options);
  const JudgedText text = {read_ids(options, engine.tokenizer()), settings,
                           engine.info().vocab_size};
  const auto reference = make_reference(options, model, engine_options, text);
  std::optional<LogitsWriter> writer;
  if (options.save_logits) writer.emplace(*options.save_logits, text);

  const std::size_t num_windows = sliding_windows(text.ids.size(), settings).size();
  ProgressBar progress(num_windows, !options.output.quiet && is_terminal(kStderr), "windows");
  const InterruptScope interrupt;
  JudgeOptions judging = {reference.get(), writer ? &*writer : nullptr, [&](const Window& window) {
                            progress.add_tokens(window.num_scored());
                            progress.add_finished();
                            return !interrupt.requested();
                          }};
  const auto begin = std::chrono::steady_clock::now();
  PerplexityReport report = {options.file, engine_name(engine.options()), text, {}, {}, {}, 0};
  report.judgement = judge(engine, text, judging);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  progress.clear();
  if (reference) report.reference = reference->name();
  if (writer && report.judgement.complete) writer->finish();
  report.checks = make_checks(options, report.judgement);

  if (options.output.json) {
    OrderedJson json = {{"model", engine.info().folder.string()}};
    json.update(perplexity_json(report));
    print_json(json);
  } else {
    write_stdout(perplexity_text(report));
  }
  return report.judgement.complete ? checks_exit(report.checks) : ExitCode::interrupted;
}

void add_text_options(CLI::App& app, PerplexityOptions& options) {
  constexpr int kMaxTokens = std::numeric_limits<int>::max();
  OptionGroup group(app, "Text");
  group.text({"-f,--file", "FILE", "The text, in UTF-8"}, options.file);
  group.integer({"--window", "N", "Tokens seen at once (default: the context, at most 2048)"},
                options.window, 2);
  group.integer({"--stride", "N", "Tokens from window to window (default: 512, or the window)"},
                options.stride, 1);
  group.integer({"--max-tokens", "N", "Take the first N tokens of the text alone"},
                options.max_tokens, 2, kMaxTokens);
}

std::vector<const CLI::Option*> add_reference_options(CLI::App& app, PerplexityOptions& options) {
  OptionGroup group(app, "Reference");
  group.text({"--against", "REFERENCE",
              "Compare with this device and dtype, such as cpu-float32, or with saved logits"},
             options.against);
  group.text({"--against-model", "MODEL",
              "Compare with another model of the same vocabulary, say before quantisation"},
             options.against_model);
  group.text({"--save-logits", "FILE", "Keep all logits as safetensors, to compare with later"},
             options.save_logits);
  constexpr NumberRange kBound{-kAnyNumber, kAnyNumber, true, "a finite number"};
  return {group.number({"--max-perplexity-increase", "PERCENT",
                        "Exit with 3 if the perplexity is larger than the reference's by more"},
                       options.max_perplexity_increase, kBound),
          group.number({"--max-kl", "NATS", "Exit with 3 if the mean KL divergence is larger"},
                       options.max_kl, kBound)};
}

void check_options(const PerplexityOptions& options,
                   const std::vector<const CLI::Option*>& checks) {
  if (options.file.empty()) usage_error("perplexity needs --file FILE");
  for (const CLI::Option* check : checks) {
    if (check->count() != 0 && !options.has_reference()) {
      usage_error("{} needs a reference: --against or --against-model", check->get_name());
    }
  }
  if (!options.against || parse_engine_spec(*options.against, options.engine)) return;
  if (options.against_model) {
    usage_error("--against-model and saved logits, --against {}, contradict each other",
                quoted_name(*options.against));
  }
  if (!std::filesystem::exists(*options.against)) {
    usage_error("--against: expected a device and dtype such as cpu-float32, or a file, got {}",
                quoted_name(*options.against));
  }
}

}  // namespace

Action add_perplexity(CLI::App& app) {
  const auto options = std::make_shared<PerplexityOptions>();
  options->engine.max_seqs = 1;
  add_model_option(app, options->model);
  add_text_options(app, *options);
  const auto checks = add_reference_options(app, *options);
  add_output_options(app, options->output);
  add_engine_options(app, options->engine);
  return [=] {
    check_options(*options, checks);
    apply_output_options(options->output);
    return perplexity(*options);
  };
}

}  // namespace quern::tools
