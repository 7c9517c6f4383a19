#pragma once

#include <stdexcept>
#include <string>

#include "quern/export.h"

namespace quern {

/// The category of an Error.
enum class ErrorCode {
  invalid_argument,  ///< an impossible option, prompt or id
  not_found,         ///< a file, folder or model is not there
  bad_file,          ///< a file is broken or contradicts another
  unsupported,       ///< well-formed, but not supported by this version
  out_of_memory,     ///< the plan or an allocation does not fit
  device,            ///< a device, driver or device library failed
  queue_full,        ///< too many requests wait: try again later
  unavailable,       ///< not ready, or no longer: loading, draining or failed
  internal,          ///< a broken precondition inside Quern: a bug
};

/// The only exception type of the library. what() is one line that names the file, key or option,
/// what was expected and what was found.
class QUERN_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message);
  ~Error() override;
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace quern
