#include "base/check.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace quern {
namespace {

int fail_check(int value) {
  QUERN_CHECK(value == 2, "value {} of {}", value, "three");
  return value;
}

void fail_bare_check(bool value) { QUERN_CHECK(value); }

TEST(Check, FailureNamesPlaceConditionAndDetail) {
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"check_test.cc", "value == 2", "value 1 of three"}),
                     fail_check(1));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"check failed: value"}), fail_bare_check(false));
}

TEST(Check, TrueConditionPasses) {
  EXPECT_EQ(fail_check(2), 2);
  EXPECT_NO_THROW(fail_bare_check(true));
}

TEST(Error, FailFormatsItsMessage) {
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"model.bin: 3 of 4"}),
                     fail(ErrorCode::not_found, "{}: {} of {}", "model.bin", 3, 4));
}

}  // namespace
}  // namespace quern
