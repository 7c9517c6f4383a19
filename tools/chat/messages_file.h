#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/output/json_output.h"

namespace quern::tools {

/// A conversation: objects with "role", "content" and what else templates read, as they came.
using Messages = std::vector<OrderedJson>;

OrderedJson make_message(const std::string& role, const std::string& content);

/// What --messages names: a list of messages, or {"messages", "tools"}.
struct MessagesFile {
  std::string messages;              ///< JSON
  std::optional<std::string> tools;  ///< JSON
};

/// Errors: not_found; bad_file with file and key.
MessagesFile read_messages_file(const std::string& file);

/// A value that is a list of messages: objects with a "role" each, at least one. `place` is what
/// errors call it. Errors: bad_file.
Messages messages_of(const OrderedJson& list, const std::string& place);

/// A conversation as JSON lines, a message each. Errors: not_found; bad_file with file and line.
Messages read_message_lines(const std::string& file);

/// Writes such a file, whole or not at all. Errors: bad_file.
void write_message_lines(const Messages& messages, const std::string& file);

}  // namespace quern::tools
