#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "quern/log.h"

namespace quern {

/// Passes a finished message to the sink, if there is one.
void log_message(LogLevel level, const std::string& message);

template <typename... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  log_message(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace quern
