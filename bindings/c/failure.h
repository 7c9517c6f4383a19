#pragma once

#include <string>
#include <utility>

#include "quern/error.h"
#include "quern/quern.h"

namespace quern::c {

/// Thrown when a callback of the caller ends a call: QUERN_STOPPED.
struct Stopped {};

/// The status of the exception that is being handled; keeps its message for quern_last_error() and,
/// unless null, in `handle_error`.
quern_status report_exception(std::string* handle_error) noexcept;

/// Runs `body` and turns what it throws into a status: no exception crosses the border to C.
template <class Body>
quern_status guarded(std::string* handle_error, Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return QUERN_OK;
  } catch (...) {
    return report_exception(handle_error);
  }
}
template <class Body>
quern_status guarded(Body&& body) noexcept {
  return guarded(nullptr, std::forward<Body>(body));
}

/// Throws invalid_argument unless the argument or field `name` points to something.
inline void require(const void* pointer, const char* name) {
  if (pointer == nullptr) {
    throw Error(ErrorCode::invalid_argument,
                std::string("'") + name + "': expected a pointer, got NULL");
  }
}

}  // namespace quern::c
