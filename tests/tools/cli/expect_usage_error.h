#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "tests/support/expect_error.h"
#include "tools/cli/usage_error.h"

namespace quern::testing {

/// Fails the test unless `statement` throws a UsageError, on one line, whose message has every one
/// of `parts`.
inline void expect_usage_error(std::initializer_list<std::string_view> parts,
                               const std::function<void()>& statement) {
  try {
    statement();
  } catch (const tools::UsageError& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    for (const std::string_view part : parts) {
      EXPECT_NE(message.find(part), std::string::npos)
          << "the message \"" << message << "\" lacks \"" << part << '"';
    }
    return;
  }
  FAIL() << "expected a UsageError, got none";
}

}  // namespace quern::testing

/// EXPECT_USAGE_ERROR(({"--top-k", "-1"}), parse(…)); see EXPECT_QUERN_ERROR.
#define EXPECT_USAGE_ERROR(parts, ...)                                             \
  do {                                                                             \
    SCOPED_TRACE(#__VA_ARGS__);                                                    \
    ::quern::testing::expect_usage_error(QUERN_UNPARENTHESIZE parts,               \
                                         [&] { static_cast<void>(__VA_ARGS__); }); \
  } while (false)
