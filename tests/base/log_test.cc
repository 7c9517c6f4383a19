#include "base/log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace quern {
namespace {

class Log : public ::testing::Test {
 protected:
  void TearDown() override { set_log_sink({}); }
};

TEST_F(Log, SinkGetsLevelAndMessage) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel level, std::string_view message) {
    lines.push_back(std::to_string(static_cast<int>(level)) + ' ' + std::string(message));
  });
  log(LogLevel::debug, "{} of {}", 1, 2);
  log(LogLevel::warning, "plain");
  EXPECT_EQ(lines, (std::vector<std::string>{"0 1 of 2", "2 plain"}));
}

TEST_F(Log, WithoutSinkNothingHappens) {
  int lines = 0;
  set_log_sink([&](LogLevel, std::string_view) { ++lines; });
  set_log_sink({});
  log(LogLevel::info, "lost");
  EXPECT_EQ(lines, 0);
}

TEST_F(Log, SinkMayReplaceItselfAndLog) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view message) {
    lines.emplace_back(message);
    set_log_sink(
        [&](LogLevel, std::string_view next) { lines.push_back("next " + std::string(next)); });
    log(LogLevel::info, "inside");
  });
  log(LogLevel::info, "outside");
  EXPECT_EQ(lines, (std::vector<std::string>{"outside", "next inside"}));
}

TEST_F(Log, EveryLineReachesOneSinkWhileTheSinkChanges) {
  constexpr int kThreads = 4;
  constexpr int kLines = 1000;
  std::atomic<int> received = 0;
  const auto count = [&](LogLevel, std::string_view message) {
    if (message.starts_with("line ")) ++received;
  };
  set_log_sink(count);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([] {
      for (int line = 0; line < kLines; ++line) log(LogLevel::info, "line {}", line);
    });
  }
  for (int i = 0; i < 1000; ++i) set_log_sink(count);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(received, kThreads * kLines);
}

}  // namespace
}  // namespace quern
