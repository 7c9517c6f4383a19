#include "tools/quality/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/philox.h"

namespace quern {

double mean_of(std::span<const double> values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double percentile(std::span<const double> sorted, double fraction) {
  QUERN_CHECK(!sorted.empty() && fraction >= 0 && fraction <= 1);
  const double place = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

Interval bootstrap_mean(std::span<const double> values, const BootstrapOptions& options) {
  if (values.empty()) return {};
  QUERN_CHECK(values.size() <= UINT32_MAX && options.num_resamples > 0);
  std::vector<double> means(static_cast<std::size_t>(options.num_resamples));
  for (std::size_t resample = 0; resample < means.size(); ++resample) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint64_t word = draw_word(options.seed, static_cast<std::uint32_t>(resample), 0,
                                           static_cast<std::uint32_t>(i));
      sum += values[static_cast<std::size_t>(word * values.size() >> 32)];
    }
    means[resample] = sum / static_cast<double>(values.size());
  }
  std::sort(means.begin(), means.end());
  const double tail = (1 - options.confidence) / 2;
  return {percentile(means, tail), percentile(means, 0.5), percentile(means, 1 - tail)};
}

}  // namespace quern
