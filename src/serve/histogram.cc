#include "serve/histogram.h"

#include <algorithm>
#include <utility>

namespace quern {

std::vector<double> decade_bounds(double low, double high) {
  std::vector<double> bounds;
  for (double decade = low; decade <= high; decade *= 10) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (decade * factor <= high * (1 + 1e-9)) bounds.push_back(decade * factor);
    }
  }
  return bounds;
}

ServiceHistogram make_histogram(std::vector<double> bounds) {
  ServiceHistogram histogram;
  histogram.counts.resize(bounds.size() + 1);
  histogram.bounds = std::move(bounds);
  return histogram;
}

void observe(ServiceHistogram& histogram, double value, std::uint64_t times) {
  const auto bucket = std::ranges::lower_bound(histogram.bounds, value);
  histogram.counts[static_cast<std::size_t>(bucket - histogram.bounds.begin())] += times;
  histogram.sum += value * static_cast<double>(times);
}

}  // namespace quern
