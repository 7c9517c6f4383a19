#pragma once

#include "base/error.h"

/// A precondition inside Quern. A violation is a bug: it throws Error(internal) that names the
/// location and the condition. Trailing arguments are a fmt format string and its arguments.
#define QUERN_CHECK(condition, ...)                                                            \
  do {                                                                                         \
    if (!(condition)) [[unlikely]] {                                                           \
      ::quern::check_failed(__FILE__, __LINE__,                                                \
                            #condition __VA_OPT__(, ) __VA_OPT__(::fmt::format(__VA_ARGS__))); \
    }                                                                                          \
  } while (false)

namespace quern {

[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& detail = {});

}  // namespace quern
