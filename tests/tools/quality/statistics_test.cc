#include "tools/quality/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace quern::tools {
namespace {

TEST(Statistics, PercentilesLieBetweenNeighbours) {
  const std::vector<double> values = {1, 2, 4, 8};
  EXPECT_EQ(percentile(values, 0), 1);
  EXPECT_EQ(percentile(values, 1), 8);
  EXPECT_DOUBLE_EQ(percentile(values, 0.5), 3);
  EXPECT_DOUBLE_EQ(percentile(values, 0.9), 4 + 0.7 * 4);
  EXPECT_EQ(percentile(std::vector<double>{5}, 0.3), 5);
  const std::vector<double> infinite = {1, 2, INFINITY, INFINITY};
  EXPECT_EQ(percentile(infinite, 1.0 / 3), 2);
  EXPECT_EQ(percentile(infinite, 0.5), INFINITY);
  EXPECT_EQ(percentile(infinite, 1), INFINITY);
  EXPECT_EQ(mean_of(values), 3.75);
  EXPECT_EQ(mean_of({}), 0);
}

// For the mean of many values the interval tends to mean ± 1.96 standard errors.
TEST(Bootstrap, CoversTheMeanAsTheNormalApproximationDoes) {
  std::vector<double> values;
  for (int i = 0; i < 400; ++i) values.push_back(std::fmod(i * 0.6180339887, 1.0));
  double variance = 0;
  const double mean = mean_of(values);
  for (const double value : values) variance += (value - mean) * (value - mean) / 400;
  const double half_width = 1.96 * std::sqrt(variance / 400);
  // A 2.5 % quantile of 20000 draws is itself off by about 0.8 % of the half width.
  const Interval interval = bootstrap_mean(values, {.num_resamples = 20000});
  EXPECT_NEAR(interval.low, mean - half_width, 0.04 * half_width);
  EXPECT_NEAR(interval.high, mean + half_width, 0.04 * half_width);
  EXPECT_NEAR(interval.median, mean, 0.04 * half_width);
  const Interval narrow = bootstrap_mean(values, {.num_resamples = 20000, .confidence = 0.5});
  EXPECT_NEAR(narrow.high - mean, half_width * 0.6745 / 1.96, 0.04 * half_width);
}

TEST(Bootstrap, DependsOnTheSeedAlone) {
  std::vector<double> values;
  for (int i = 1; i < 50; ++i) values.push_back(std::sqrt(i));
  const Interval once = bootstrap_mean(values, {.seed = 7});
  const Interval again = bootstrap_mean(values, {.seed = 7});
  EXPECT_EQ(once.low, again.low);
  EXPECT_EQ(once.high, again.high);
  EXPECT_NE(once.low, bootstrap_mean(values, {.seed = 8}).low);
}

// The same rows are drawn for every column, so a constant difference has no spread.
TEST(Bootstrap, DrawsTheSameRowsForEveryColumn) {
  const std::vector<double> left = {1, 5, 2, 9, 3};
  std::vector<double> right = left;
  for (double& value : right) value += 4;
  const Interval a = bootstrap_mean(left);
  const Interval b = bootstrap_mean(right);
  EXPECT_DOUBLE_EQ(a.low + 4, b.low);
  EXPECT_DOUBLE_EQ(a.high + 4, b.high);
}

TEST(Bootstrap, TakesNoneAndOne) {
  EXPECT_EQ(bootstrap_mean({}).high, 0);
  const Interval one = bootstrap_mean(std::vector<double>{3});
  EXPECT_EQ(one.low, 3);
  EXPECT_EQ(one.high, 3);
  EXPECT_FALSE(one.contains(3.1));
}

}  // namespace
}  // namespace quern::tools
