#pragma once

#include <functional>
#include <optional>
#include <string>

#include "quern/engine.h"
#include "tools/cli/cli_forward.h"
#include "tools/generation/prompts.h"
#include "tools/output/output_options.h"
#include "tools/quality/perplexity/perplexity_options.h"
#include "tools/quality/summaries/summary_options.h"

namespace quern::tools {

/// What `quern accuracy` was asked for.
struct AccuracyOptions {
  std::string model;
  EngineOptions engine;
  bool max_seqs_given = false;
  std::string reference = "cpu-float32";
  EngineOptions reference_engine;      ///< what `reference` means
  std::optional<std::string> against;  ///< the model that this one was quantized from
  std::optional<std::string> reference_activations;
  std::optional<std::string> reference_logits;
  std::optional<std::string> reference_summaries;
  PromptOptions prompts;
  int decode_steps = 2;
  PerplexityOptions perplexity;  ///< of these the text's
  SummarizeOptions summaries;    ///< of these the articles' and max_new_tokens
  std::string bounds_file;       ///< empty: the built-in ones
  std::optional<std::string> output_file;
  OutputOptions output;

  bool has_prompts() const {
    return !prompts.given.empty() || prompts.prompt_file || prompts.prompts_file;
  }
  bool has_reference_file() const {
    return reference_activations || reference_logits || reference_summaries;
  }
};

/// Adds them to a subcommand; `options` must live as long as it. The returned check throws a
/// UsageError for contradictions and settles what depends on several options; call it after
/// parsing.
std::function<void()> add_accuracy_options(CLI::App& app, AccuracyOptions& options);

}  // namespace quern::tools
