#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "quern/error.h"

namespace quern::testing {

/// Fails the test unless `statement` throws a quern::Error with that code and a one-line message
/// that contains every one of `parts`.
inline void expect_error(ErrorCode code, std::initializer_list<std::string_view> parts,
                         const std::function<void()>& statement) {
  try {
    statement();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    for (const std::string_view part : parts) {
      EXPECT_NE(message.find(part), std::string::npos)
          << "the message \"" << message << "\" lacks \"" << part << '"';
    }
    return;
  } catch (const std::exception& error) {
    FAIL() << "expected a quern::Error, got another exception: " << error.what();
  }
  FAIL() << "expected a quern::Error, got none";
}

}  // namespace quern::testing

/// EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"config.json", "expected"}), read_config(path));
/// The parts stand in parentheses, because braces do not keep a macro's arguments together.
#define EXPECT_QUERN_ERROR(code, parts, ...)                                 \
  do {                                                                       \
    SCOPED_TRACE(#__VA_ARGS__);                                              \
    ::quern::testing::expect_error(code, QUERN_UNPARENTHESIZE parts,         \
                                   [&] { static_cast<void>(__VA_ARGS__); }); \
  } while (false)
#define QUERN_UNPARENTHESIZE(...) __VA_ARGS__
