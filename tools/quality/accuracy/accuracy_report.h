#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/output/json_output.h"
#include "tools/quality/accuracy/node_errors.h"
#include "tools/quality/perplexity/perplexity_report.h"
#include "tools/quality/summaries/summary_report.h"
#include "tools/report/environment.h"

namespace quern::tools {

/// What `quern accuracy` found. Parts that did not run are not there.
struct AccuracyReport {
  ModelInfo info;
  EngineOptions tested;   ///< as resolved
  std::string reference;  ///< "cpu-float32"
  std::string bounds;     ///< the file's name
  std::vector<NodeErrors> nodes;
  std::optional<PerplexityReport> perplexity;
  std::optional<SummaryReport> summaries;
  bool complete = true;  ///< false after an interruption
  std::vector<Check> checks;
  Environment environment;
};

/// "26 checks hold", or how many do not.
std::string accuracy_verdict(const AccuracyReport& report);

OrderedJson accuracy_json(const AccuracyReport& report);

/// One page of Markdown: the checks, a table for each part, and what `quern env` prints.
std::string accuracy_page(const AccuracyReport& report);

}  // namespace quern::tools
