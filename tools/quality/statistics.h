#pragma once

#include <cstdint>
#include <span>

namespace quern::tools {

/// The mean, in double precision; 0 of nothing.
double mean_of(std::span<const double> values);

/// The value below which `fraction` in [0, 1] of the values lie, linear between neighbours as
/// numpy.percentile's default. `sorted` ascends and is not empty.
double percentile(std::span<const double> sorted, double fraction);

/// Where a statistic lies by resampling: its bounds and its median.
struct Interval {
  double low = 0;
  double median = 0;
  double high = 0;
  bool contains(double value) const { return low <= value && value <= high; }
};

struct BootstrapOptions {
  int num_resamples = 1000;
  double confidence = 0.95;
  std::uint64_t seed = 0;
};

/// The percentile bootstrap interval of the mean: each resample draws values.size() of the values
/// with replacement. The draws depend on seed and size alone, so intervals of columns of one table
/// are made from the same rows, and differences of pairs have a paired interval. All 0 without
/// values. Source: Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 13.
Interval bootstrap_mean(std::span<const double> values, const BootstrapOptions& options = {});

}  // namespace quern::tools
