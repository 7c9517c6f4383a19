#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "io/text_file.h"
#include "quern/engine.h"
#include "tools/command.h"
#include "tools/console.h"
#include "tools/interrupt.h"
#include "tools/model_options.h"
#include "tools/progress.h"
#include "tools/quality/engine_spec.h"
#include "tools/quality/perplexity_options.h"
#include "tools/quality/perplexity_report.h"

namespace quern::tools {
namespace {

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

ExitCode perplexity(const PerplexityOptions& options) {
  const std::string model = chosen_model(options.model);
  const WindowSettings settings = window_settings(options, context_of(options.engine, model));
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
  report.checks = perplexity_checks(options, report.judgement);

  if (options.output.json) {
    OrderedJson json = subject_json(engine.info(), engine.options());
    json.update(perplexity_json(report));
    print_json(json);
  } else {
    write_stdout(perplexity_text(report));
  }
  return report.judgement.complete ? checks_exit(report.checks) : ExitCode::interrupted;
}

}  // namespace

Action add_perplexity(CLI::App& app) {
  const auto options = std::make_shared<PerplexityOptions>();
  const auto check = add_perplexity_options(app, *options);
  return [=] {
    check();
    apply_output_options(options->output);
    return perplexity(*options);
  };
}

}  // namespace quern::tools
