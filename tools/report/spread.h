#pragma once

#include <string>
#include <vector>

#include "tools/output/json_output.h"

namespace quern::tools {

/// How a figure is distributed.
struct Spread {
  double median = 0;
  double p95 = 0;
  double p99 = 0;
  double max = 0;
};

/// All 0 without values.
Spread spread_of(std::vector<double> values);

/// {"median", "p95", "p99", "max"}, to a thousandth.
OrderedJson spread_json(const Spread& spread);

/// A table's head, and a row of it.
std::string spread_head();
std::string spread_row(const char* title, const Spread& spread);

}  // namespace quern::tools
