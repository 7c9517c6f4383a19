#pragma once

#include <fmt/format.h>

#include <utility>

#include "quern/error.h"

namespace quern {

/// Throws an Error with a message formatted by fmt::format.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace quern
