#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "quern/chat.h"

namespace quern {

/// The calls that a JSON object, or a list of them, writes: {"name": …, "arguments" or
/// "parameters": …, "id"?}. Nothing for any other JSON and for text that is none.
std::optional<std::vector<ToolCall>> read_tool_calls(std::string_view json);

}  // namespace quern
