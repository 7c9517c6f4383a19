#include "bindings/c/failure.h"

#include <exception>
#include <new>

namespace quern::c {
namespace {

// Trivial to construct, so that a thread that never fails pays nothing.
thread_local std::string last_error;                 // NOLINT: errors belong to threads
thread_local const char* last_error_text = nullptr;  // NOLINT

void keep(const char* message, std::string* handle_error) noexcept {
  try {
    last_error = message;
    last_error_text = last_error.c_str();
    if (handle_error != nullptr) *handle_error = message;
  } catch (...) {
    last_error_text = "out of memory, also for the message";
    if (handle_error != nullptr) handle_error->clear();
  }
}

quern_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return QUERN_INVALID_ARGUMENT;
    case ErrorCode::not_found:
      return QUERN_NOT_FOUND;
    case ErrorCode::bad_file:
      return QUERN_BAD_FILE;
    case ErrorCode::unsupported:
      return QUERN_UNSUPPORTED;
    case ErrorCode::out_of_memory:
      return QUERN_OUT_OF_MEMORY;
    case ErrorCode::device:
      return QUERN_DEVICE;
    case ErrorCode::queue_full:
      return QUERN_QUEUE_FULL;
    case ErrorCode::unavailable:
      return QUERN_UNAVAILABLE;
    case ErrorCode::internal:
      return QUERN_INTERNAL;
  }
  return QUERN_INTERNAL;
}

}  // namespace

quern_status report_exception(std::string* handle_error) noexcept {
  try {
    throw;
  } catch (const Stopped&) {
    keep("stopped by the caller's callback", handle_error);
    return QUERN_STOPPED;
  } catch (const Error& error) {
    keep(error.what(), handle_error);
    return status_of(error.code());
  } catch (const std::bad_alloc&) {
    keep("out of memory", handle_error);
    return QUERN_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    keep(error.what(), handle_error);
    return QUERN_INTERNAL;
  } catch (...) {
    keep("an exception of unknown type", handle_error);
    return QUERN_INTERNAL;
  }
}

}  // namespace quern::c

extern "C" const char* quern_last_error(void) {
  return quern::c::last_error_text == nullptr ? "" : quern::c::last_error_text;
}
