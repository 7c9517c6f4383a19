#pragma once

#include <functional>
#include <string_view>

#include "quern/export.h"

namespace quern {

enum class LogLevel { debug, info, warning };

/// Receives every message of the library, one line without a newline. Called from the thread that
/// calls the library.
using LogSink = std::function<void(LogLevel, std::string_view message)>;

/// Replaces the process-wide sink; an empty one, the default, silences the library. The library
/// itself never prints. Thread-safe.
QUERN_API void set_log_sink(LogSink sink);

}  // namespace quern
