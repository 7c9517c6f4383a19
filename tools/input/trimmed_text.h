#pragma once

#include <string_view>

namespace quern::tools {

/// `text`, which is UTF-8, without the blanks around it: what Python's str.strip() takes for them,
/// so that prompts are those of the Python tools.
std::string_view trimmed_text(std::string_view text);

}  // namespace quern::tools
