#pragma once

#include <optional>
#include <string>

#include "tools/load/load.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// Service level objectives: bounds that an answer meets or not. One that is unset holds.
struct Objectives {
  std::optional<float> first_token_ms;
  std::optional<float> time_per_output_token_ms;
  std::optional<float> latency_ms;

  bool any() const { return first_token_ms || time_per_output_token_ms || latency_ms; }
  bool met_by(const AnswerRecord& answer) const;
};

/// The report for people: counts, rates, percentiles, failures by kind.
std::string load_table(const LoadSettings& settings, const Objectives& objectives,
                       const LoadResult& result);

/// The document of `quern bench serve --json`: that of `quern bench` without an engine and cells,
/// and "serve". `label` is its program.
OrderedJson load_document_json(const std::string& label, const LoadSettings& settings,
                               const Objectives& objectives, const LoadResult& result);

/// "3 of 100 requests failed: 2 × http_429 (…), 1 × connect (…)"; empty where none did.
std::string load_failures(const LoadResult& result);

}  // namespace quern::tools
