#include "backend/progress_watchdog.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

using std::chrono::milliseconds;

class ProgressWatchdogTest : public ::testing::Test {
 protected:
  /// Calls with this word every `gap` for `duration`; whether any call said expired.
  bool watch(std::int64_t progress, milliseconds duration, milliseconds gap = milliseconds(10)) {
    bool expired = false;
    for (const auto end = now_ + duration; now_ < end;) {
      now_ += gap;
      expired |= watchdog_.expired(progress, now_);
    }
    return expired;
  }

  ProgressWatchdog::Clock::time_point now_{};
  ProgressWatchdog watchdog_{milliseconds(1000), now_};
};

TEST_F(ProgressWatchdogTest, ExpiresWithoutProgress) {
  EXPECT_FALSE(watch(0, milliseconds(990)));
  EXPECT_TRUE(watch(0, milliseconds(10)));
  EXPECT_TRUE(watch(0, milliseconds(10)));
}

TEST_F(ProgressWatchdogTest, AnyProgressBeginsAnew) {
  for (std::int64_t step = 1; step < 20; ++step) EXPECT_FALSE(watch(step, milliseconds(900)));
  EXPECT_TRUE(watch(19, milliseconds(200)));
}

TEST_F(ProgressWatchdogTest, APauseOfTheProcessHardlyCounts) {
  EXPECT_FALSE(watch(7, milliseconds(500)));
  now_ += std::chrono::hours(10);  // stopped, or the machine suspended
  EXPECT_FALSE(watch(7, milliseconds(300)));
  EXPECT_TRUE(watch(7, milliseconds(300)));
}

}  // namespace
}  // namespace quern
