#pragma once

#include <fmt/format.h>

#include <utility>

#include "quern/error.h"

namespace quern::tools {

/// Throws a quern::Error whose message is made as by fmt::format.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace quern::tools
