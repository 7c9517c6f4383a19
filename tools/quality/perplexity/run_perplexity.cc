#include "tools/quality/perplexity/run_perplexity.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "quern/engine.h"
#include "tools/cli/fail.h"
#include "tools/cli/model_options.h"
#include "tools/input/text_input.h"
#include "tools/output/load_progress.h"
#include "tools/output/progress.h"
#include "tools/quality/engine_spec.h"

namespace quern::tools {
namespace {

std::vector<std::int32_t> ids_of(const std::string& text, const PerplexityOptions& options,
                                 const Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids = tokenizer.encode(text);
  if (options.max_tokens) {
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(*options.max_tokens)));
  }
  if (ids.size() < 2) {
    fail(ErrorCode::bad_file, "{}: expected at least 2 tokens, got {}", input_name(options.file),
         ids.size());
  }
  return ids;
}

/// Refuses to compare an engine with itself.
void reject_same_engine(const PerplexityOptions& options, const std::string& model) {
  if (!options.against || options.against_model) return;
  const auto reference = parse_engine_spec(*options.against, options.engine);
  if (reference) require_other_engine("--against", model, options.engine, *reference);
}

/// Null when none was asked for.
std::unique_ptr<ReferenceLogits> make_reference(const PerplexityOptions& options,
                                                const std::string& model,
                                                const EngineOptions& engine,
                                                const JudgedText& text) {
  if (!options.has_reference()) return nullptr;
  std::optional<EngineOptions> reference = engine;
  if (options.against) reference = parse_engine_spec(*options.against, engine);
  if (reference && options.against_model) {  // that model's own weights
    reference->quantize.reset();
    reference->quantize_activations = ActivationQuantization::off;
  }
  if (reference) return engine_logits(options.against_model.value_or(model), *reference, text);
  return saved_logits(*options.against, text);
}

}  // namespace

PerplexityReport run_perplexity(const PerplexityOptions& options, const std::string& text,
                                const InterruptScope& interrupt) {
  const std::string model = chosen_model(options.model);
  const WindowSettings settings = window_settings(options, context_of(options.engine, model));
  reject_same_engine(options, model);
  EngineOptions engine_options = options.engine;
  engine_options.max_seq_len = static_cast<int>(settings.window);
  engine_options.on_load = load_progress(options.output, &interrupt);
  Engine engine = Engine::load(model, engine_options);
  PerplexityReport report;
  report.file = input_name(options.file);
  report.info = engine.info();
  report.engine = engine.options();
  report.text = {ids_of(text, options, engine.tokenizer()), settings, engine.info().vocab_size};
  const auto reference = make_reference(options, model, engine_options, report.text);
  std::optional<LogitsWriter> writer;
  if (options.save_logits) writer.emplace(*options.save_logits, report.text);

  const std::size_t num_windows = sliding_windows(report.text.ids.size(), settings).size();
  ProgressBar progress(num_windows, shows_progress(options.output), "windows");
  JudgeOptions judging = {reference.get(), writer ? &*writer : nullptr, [&](const Window& window) {
                            progress.add_tokens(window.num_scored());
                            progress.add_finished();
                            return !interrupt.requested();
                          }};
  const auto begin = std::chrono::steady_clock::now();
  report.judgement = judge(engine, report.text, judging);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (reference) report.reference = reference->name();
  if (writer && report.judgement.complete) writer->finish();
  report.checks = perplexity_checks(options, report.judgement);
  return report;
}

}  // namespace quern::tools
