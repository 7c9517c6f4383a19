#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tools/output/json_output.h"
#include "tools/quality/checks.h"
#include "tools/quality/perplexity/judge.h"

namespace quern::tools {

/// What `quern perplexity` found.
struct PerplexityReport {
  std::string file;
  ModelInfo info;
  EngineOptions engine;  ///< as resolved
  JudgedText text;
  Judgement judgement;
  std::string reference;  ///< its name; empty without one
  std::vector<Check> checks;
  double seconds = 0;
};

/// The KL divergence's middle and tail by name: "median", "p99", …, "max".
std::vector<std::pair<const char*, double>> kl_percentiles(const Judgement& judgement);

OrderedJson perplexity_json(const PerplexityReport& report);
std::string perplexity_text(const PerplexityReport& report);

}  // namespace quern::tools
