#pragma once

#include <string>

#include "tools/report/environment.h"

namespace quern::tools {

/// What `quern env` prints, and reports embed.
std::string environment_text(const Environment& found, bool colour);

}  // namespace quern::tools
