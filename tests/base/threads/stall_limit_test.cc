#include "base/threads/stall_limit.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

using std::chrono::milliseconds;
using Time = StallLimit::Clock::time_point;

constexpr Time at(int ms) { return Time{} + std::chrono::hours(1) + milliseconds(ms); }

TEST(StallLimit, AWorkersStallIsMuchLongerThanAnIndex) {
  using us = std::chrono::microseconds;
  const auto is_stall = [](us parked, us busy, std::uint32_t num_served) {
    return StallLimit::is_stall({parked + busy, parked, {}, num_served});
  };
  EXPECT_TRUE(is_stall(us(400), us(200), 10));
  EXPECT_FALSE(is_stall(us(399), us(200), 10)) << "a wake-up may take that";
  EXPECT_FALSE(is_stall(us(4000), us(2000), 2)) << "a worker's index of usual length";
  EXPECT_TRUE(is_stall(us(4001), us(2000), 2));
  EXPECT_FALSE(is_stall(us(4000), us(0), 0)) << "nothing to compare with";
}

TEST(StallLimit, ACallersStallIsTimeWithoutAProcessor) {
  using us = std::chrono::microseconds;
  EXPECT_TRUE(StallLimit::is_stall({us(100000), us(0), us(400), 1}));
  EXPECT_FALSE(StallLimit::is_stall({us(100000), us(0), us(399), 1}));
}

TEST(StallLimit, MeasuresAfterALoopThatTookLong) {
  StallLimit limit(2);
  EXPECT_FALSE(limit.measures_lost(at(0)));
  limit.note_duration(std::chrono::microseconds(399), at(1));
  EXPECT_FALSE(limit.measures_lost(at(2)));
  limit.note_duration(std::chrono::microseconds(400), at(2));
  EXPECT_TRUE(limit.measures_lost(at(3)));
  EXPECT_FALSE(limit.measures_lost(at(28)));
}

TEST(StallLimit, OneStallNowAndThenTakesNoThread) {
  StallLimit limit(2);
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(limit.stalled(at(30 * i)));
  EXPECT_EQ(limit.num_threads(), 2);
  EXPECT_FALSE(limit.is_reduced());
}

TEST(StallLimit, TwoInAShortTimeTakeOneForAWhile) {
  StallLimit limit(2);
  EXPECT_FALSE(limit.stalled(at(0)));
  EXPECT_TRUE(limit.stalled(at(8)));
  EXPECT_EQ(limit.num_threads(), 1);
  EXPECT_TRUE(limit.is_reduced());
  EXPECT_FALSE(limit.try_more(at(107)));
  EXPECT_TRUE(limit.try_more(at(108)));
  EXPECT_EQ(limit.num_threads(), 2);
  EXPECT_FALSE(limit.is_reduced());
  EXPECT_FALSE(limit.stalled(at(200))) << "the trial is over: one stall counts for nothing";
}

TEST(StallLimit, ATrialThatStallsDoublesTheTimeToTheNext) {
  StallLimit limit(2);
  limit.stalled(at(0));
  limit.stalled(at(1));
  int now = 1;
  for (const int hold : {100, 200, 400, 800, 1600, 1600}) {
    EXPECT_FALSE(limit.try_more(at(now + hold - 1))) << hold;
    EXPECT_TRUE(limit.try_more(at(now + hold))) << hold;
    now += hold + 4;
    EXPECT_TRUE(limit.stalled(at(now))) << hold;
    EXPECT_EQ(limit.num_threads(), 1);
  }
  ASSERT_TRUE(limit.try_more(at(now + 1600)));
  now += 5000;
  limit.stalled(at(now));
  EXPECT_TRUE(limit.stalled(at(now + 1)));
  EXPECT_TRUE(limit.try_more(at(now + 101))) << "a trial that went well forgets the long times";
}

TEST(StallLimit, ManyThreadsGoByQuartersAndComeBackStepByStep) {
  StallLimit limit(16);
  limit.stalled(at(0));
  for (const int threads : {12, 9, 7, 6, 5, 4, 3, 2, 1}) {
    EXPECT_TRUE(limit.stalled(at(1)));
    EXPECT_EQ(limit.num_threads(), threads);
  }
  EXPECT_FALSE(limit.stalled(at(1))) << "one thread is the least";
  int now = 101;
  for (const int threads : {2, 3, 4, 5, 6, 8, 10, 13, 16}) {
    ASSERT_TRUE(limit.try_more(at(now)));
    EXPECT_EQ(limit.num_threads(), threads);
    now += 25;
  }
  EXPECT_FALSE(limit.is_reduced());
}

}  // namespace
}  // namespace quern
