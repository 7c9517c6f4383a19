#include "tools/quality/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "tools/cli/fail.h"

namespace quern::tools {

double mean_of(std::span<const double> values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double percentile(std::span<const double> sorted, double fraction) {
  if (sorted.empty() || !(fraction >= 0 && fraction <= 1)) {
    fail(ErrorCode::internal, "percentile {} of {} values", fraction, sorted.size());
  }
  const double place = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double share = place - static_cast<double>(below);
  // Interpolation with infinity is NaN here.
  if (share == 0 || sorted[below] == sorted[above]) return sorted[below];
  return std::lerp(sorted[below], sorted[above], share);
}

Interval bootstrap_mean(std::span<const double> values, const BootstrapOptions& options) {
  if (values.empty()) return {};
  if (values.size() > UINT32_MAX || options.num_resamples < 1) {
    fail(ErrorCode::internal, "bootstrap of {} values, {} resamples", values.size(),
         options.num_resamples);
  }
  // std::mt19937_64 gives the same numbers everywhere, std::uniform_int_distribution does not.
  std::mt19937_64 random(options.seed);
  std::vector<double> means(static_cast<std::size_t>(options.num_resamples));
  for (double& mean : means) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint64_t word = random() >> 32;
      sum += values[static_cast<std::size_t>(word * values.size() >> 32)];
    }
    mean = sum / static_cast<double>(values.size());
  }
  std::sort(means.begin(), means.end());
  const double tail = (1 - options.confidence) / 2;
  return {percentile(means, tail), percentile(means, 0.5), percentile(means, 1 - tail)};
}

}  // namespace quern::tools
