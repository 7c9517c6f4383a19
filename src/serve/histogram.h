#pragma once

#include <vector>

#include "quern/service.h"

namespace quern {

/// Bounds of a histogram of times, seconds: 1, 2, 5 of each decade from `low` to `high`.
std::vector<double> decade_bounds(double low, double high);

ServiceHistogram make_histogram(std::vector<double> bounds);

/// Counts a value `times` times; a bucket holds what is at most its bound.
void observe(ServiceHistogram& histogram, double value, std::uint64_t times = 1);

}  // namespace quern
