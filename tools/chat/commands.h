#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "tools/chat/session.h"

namespace quern::tools {

/// What a command wants of the chat around it.
struct CommandHost {
  ChatSession* session = nullptr;
  const Engine* engine = nullptr;
  std::function<void()> regenerate;               ///< answers again and shows it
  std::function<void(const std::string&)> print;  ///< a text of whole lines, for people
};

/// True for "/help" and its like; "//" begins a message with a slash.
bool is_command(std::string_view line);

/// Runs a command; false where the chat ends. Errors: UsageError for an unknown command and for
/// what it does not take; those of the session and of files.
bool run_command(const CommandHost& host, const std::string& line);

}  // namespace quern::tools
