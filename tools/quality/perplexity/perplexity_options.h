#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tools/cli/cli_forward.h"
#include "tools/output/output_options.h"
#include "tools/quality/checks.h"
#include "tools/quality/perplexity/judge.h"
#include "tools/quality/perplexity/windows.h"

namespace quern::tools {

/// What `quern perplexity` was asked for.
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
  std::optional<float> min_top1_agreement;
  OutputOptions output;

  bool has_reference() const { return against || against_model; }
  bool has_checks() const { return max_perplexity_increase || max_kl || min_top1_agreement; }
};

/// Adds the text and how to go over it alone; `options` must live as long as the subcommand.
void add_text_options(CLI::App& app, PerplexityOptions& options, const std::string& default_text);

/// Adds them to a subcommand; `options` must live as long as it. The returned check throws a
/// UsageError for what is missing or contradicts; call it after parsing.
std::function<void()> add_perplexity_options(CLI::App& app, PerplexityOptions& options);

/// The windows that were asked for, or the usual ones in a context of that many tokens. Errors:
/// UsageError for a window beyond the context and a stride beyond the window.
WindowSettings window_settings(const PerplexityOptions& options, int context);

/// The checks that were asked for, on what was found, and one that does not hold where logits are
/// not finite.
std::vector<Check> perplexity_checks(const PerplexityOptions& options, const Judgement& judgement);

}  // namespace quern::tools
