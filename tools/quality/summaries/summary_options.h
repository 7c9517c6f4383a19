#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tools/cli/cli_forward.h"
#include "tools/output/output_options.h"
#include "tools/quality/checks.h"
#include "tools/quality/data/articles.h"
#include "tools/quality/summaries/summary_prompt.h"
#include "tools/quality/summaries/summary_report.h"

namespace quern::tools {

/// What `quern summarize` was asked for.
struct SummarizeOptions {
  std::string model;
  EngineOptions engine;
  bool max_seqs_given = false;
  ArticleSource source;
  std::optional<PromptStyle> prompt_style;
  std::optional<int> max_input_length;
  Request request;  ///< all but the prompt
  std::optional<EngineOptions> reference;
  std::optional<std::string> reference_model;  ///< of `reference`; unset: the same
  std::optional<std::string> reference_file;
  bool check_accuracy = false;
  std::optional<float> rouge1_threshold;
  std::optional<float> max_rouge_drop;
  bool stemmer = false;
  std::optional<std::string> output_file;
  OutputOptions output;

  bool has_reference() const { return reference || reference_file; }
};

/// Adds the data set and how prompts are made of it alone; `options` must live as long as the
/// subcommand. Returns those that mean nothing without a data set.
std::vector<const CLI::Option*> add_article_options(CLI::App& app, SummarizeOptions& options);

/// Adds them to a subcommand; `options` must live as long as it. The returned check throws a
/// UsageError for contradictions and settles what depends on several options; call it after
/// parsing.
std::function<void()> add_summarize_options(CLI::App& app, SummarizeOptions& options);

/// How many tokens prompts and answers may have.
struct SummaryLengths {
  int max_input_length = 0;
  int max_new_tokens = 0;
};

/// As asked for, or as many of the usual 923 as a context of that many tokens leaves room for.
/// Errors: UsageError when it leaves none.
SummaryLengths summary_lengths(const SummarizeOptions& options, int context);

/// The checks that were asked for, on what was found.
std::vector<Check> summary_checks(const SummarizeOptions& options, const SummaryReport& report);

}  // namespace quern::tools
