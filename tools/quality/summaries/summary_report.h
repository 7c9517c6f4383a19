#pragma once

#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tools/output/json_output.h"
#include "tools/quality/checks.h"
#include "tools/quality/summaries/summaries.h"

namespace quern::tools {

/// One set of summaries held against another, by F in points and pair by pair.
struct RougeDifference {
  double mean = 0;    ///< ours minus the reference's
  Interval interval;  ///< paired bootstrap
};

/// One for each kind of score, over the articles that both have.
std::array<RougeDifference, rouge::kNumRouge> rouge_differences(
    const std::vector<rouge::Scores>& ours, const std::vector<rouge::Scores>& reference);

/// What `quern summarize` found.
struct SummaryReport {
  Articles articles;
  std::string dataset;
  ModelInfo info;
  EngineOptions options;  ///< as resolved
  Timing timing;          ///< of our engine
  std::string prompt_style;
  int max_input_length = 0;
  int max_new_tokens = 0;
  std::optional<std::uint64_t> seed;  ///< unset where tokens are not drawn
  bool complete = true;               ///< false after an interruption: of the first articles only
  std::exception_ptr file_error;      ///< why the summaries are not in the output file
  SummarySet engine;
  std::optional<SummarySet> reference;
  std::vector<Check> checks;
};

/// A line for each engine of which requests ended with an error.
std::vector<std::string> summary_errors(const SummaryReport& report);

/// The first article, its highlights and what was made of it.
std::string first_article_text(const SummaryReport& report);

std::string summary_text(const SummaryReport& report);
OrderedJson summary_json(const SummaryReport& report);

}  // namespace quern::tools
