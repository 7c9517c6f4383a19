#pragma once

#include <string>

#include "tools/output/json_output.h"
#include "tools/report/environment.h"

namespace quern::tools {

/// "9.0"
std::string compute_capability(const Gpu& gpu);

/// What `quern env --json` prints, and reports embed.
OrderedJson environment_json(const Environment& found);

}  // namespace quern::tools
