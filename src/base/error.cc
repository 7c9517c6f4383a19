#include "base/error.h"

#include "base/check.h"
#include "base/text/printable.h"

namespace quern {

Error::Error(ErrorCode code, const std::string& message)
    : std::runtime_error(printable_line(message)), code_(code) {}

Error::~Error() = default;

void check_failed(const char* file, int line, const char* condition, const std::string& detail) {
  fail(ErrorCode::internal, "{}:{}: check failed: {}{}{}", file, line, condition,
       detail.empty() ? "" : ": ", detail);
}

}  // namespace quern
