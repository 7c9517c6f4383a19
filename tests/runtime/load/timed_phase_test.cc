#include "runtime/load/timed_phase.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "quern/log.h"

namespace quern {
namespace {

class TimedPhaseTest : public ::testing::Test {
 protected:
  void TearDown() override { set_log_sink({}); }
};

TEST_F(TimedPhaseTest, LogsItsDurationAtTheEnd) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel level, std::string_view message) {
    EXPECT_EQ(level, LogLevel::debug);
    lines.emplace_back(message);
  });
  {
    const TimedPhase phase("waiting");
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_TRUE(lines.empty());
  }
  ASSERT_EQ(lines.size(), 1U);
  double ms = 0;
  ASSERT_EQ(std::sscanf(lines[0].c_str(), "waiting: %lf ms", &ms), 1) << lines[0];
  EXPECT_GE(ms, 2.0);
}

TEST_F(TimedPhaseTest, SurvivesASinkThatThrows) {
  set_log_sink([](LogLevel, std::string_view) { throw std::runtime_error("full"); });
  EXPECT_NO_THROW(TimedPhase("doomed"));
}

}  // namespace
}  // namespace quern
