#pragma once

#include <string>

#include "tools/bench/stress.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// Rates and percentiles, for people.
std::string stress_table(const StressSettings& settings, const StressResult& result);

/// "stress" of the JSON.
OrderedJson stress_json(const StressSettings& settings, const StressResult& result);

}  // namespace quern::tools
