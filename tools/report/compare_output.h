#pragma once

#include <string>

#include "quern/compare.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// {"max", "mean", "median"}; null where one is not finite.
OrderedJson error_statistics_json(const ErrorStatistics& errors);

/// A comparison as JSON; `reference_file` names the file compared with, if it was one.
OrderedJson comparison_json(const Comparison& comparison, const std::string& reference_file);

/// The worst values, those over their bounds first, and the verdict.
std::string comparison_summary(const Comparison& comparison, const std::string& reference_file,
                               bool colour);

/// All values as a table, and the verdict.
std::string comparison_text(const Comparison& comparison, const std::string& reference_file,
                            bool colour);

}  // namespace quern::tools
