#include "tools/report/spread.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/quality/statistics.h"

namespace quern::tools {

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {percentile(values, 0.5), percentile(values, 0.95), percentile(values, 0.99),
          values.back()};
}

OrderedJson spread_json(const Spread& spread) {
  return {{"median", rounded(spread.median, 3)},
          {"p95", rounded(spread.p95, 3)},
          {"p99", rounded(spread.p99, 3)},
          {"max", rounded(spread.max, 3)}};
}

std::string spread_head() {
  return fmt::format("{:>16} {:>10} {:>10} {:>10} {:>10}\n", "ms", "median", "p95", "p99", "max");
}

std::string spread_row(const char* title, const Spread& spread) {
  return fmt::format("{:>16} {:>10.3f} {:>10.3f} {:>10.3f} {:>10.3f}\n", title, spread.median,
                     spread.p95, spread.p99, spread.max);
}

}  // namespace quern::tools
