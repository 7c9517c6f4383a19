#pragma once

#include <string_view>

#include "base/error.h"

namespace quern {

/// Refuses a collective op of a backend that is one rank alone. A silent copy would give wrong sums
/// where several ranks were meant.
[[noreturn]] inline void fail_without_communicator(std::string_view op) {
  fail(ErrorCode::unsupported, "{}: needs a communicator, and a single rank has none", op);
}

}  // namespace quern
