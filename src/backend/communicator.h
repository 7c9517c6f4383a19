#pragma once

#include <string_view>

#include "base/error.h"

namespace quern {

/// Refuses a collective op on a single-rank backend: a silent copy would give wrong sums where
/// several ranks were intended.
[[noreturn]] inline void fail_without_communicator(std::string_view op) {
  fail(ErrorCode::unsupported, "{}: needs a communicator, and a single rank has none", op);
}

}  // namespace quern
