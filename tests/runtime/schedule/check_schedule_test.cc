#include "runtime/schedule/check_schedule.h"

#include <gtest/gtest.h>

#include <vector>

namespace quern {
namespace {

std::vector<int> checks(int skip, int interval, int steps) {
  const CheckSchedule schedule(skip, interval);
  std::vector<int> result;
  for (int step = 1; step <= steps; ++step) {
    if (schedule.is_check(step)) result.push_back(step);
  }
  return result;
}

TEST(CheckSchedule, FollowsTheRule) {
  EXPECT_EQ(checks(0, 1, 4), (std::vector{1, 2, 3, 4}));
  EXPECT_EQ(checks(0, 4, 12), (std::vector{4, 8, 12}));
  EXPECT_EQ(checks(8, 4, 20), (std::vector{8, 12, 16, 20}));
  EXPECT_EQ(checks(3, 5, 14), (std::vector{3, 8, 13}));
  EXPECT_EQ(checks(1, 100, 50), (std::vector{1}));
}

TEST(CheckSchedule, CountsTheStepsToTheNextCheck) {
  for (const int skip : {0, 1, 3, 8}) {
    for (const int interval : {1, 2, 5, 8}) {
      const CheckSchedule schedule(skip, interval);
      for (int done = 0; done < 40; ++done) {
        int next = done + 1;
        while (!schedule.is_check(next)) ++next;
        EXPECT_EQ(schedule.steps_until_check(done), next - done) << skip << "," << interval;
      }
    }
  }
}

}  // namespace
}  // namespace quern
