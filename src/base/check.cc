#include "base/check.h"

namespace quern {

void check_failed(const char* file, int line, const char* condition, const std::string& detail) {
  fail(ErrorCode::internal, "{}:{}: check failed: {}{}{}", file, line, condition,
       detail.empty() ? "" : ": ", detail);
}

}  // namespace quern
