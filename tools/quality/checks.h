#pragma once

#include <string>
#include <vector>

#include "tools/cli/exit_code.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// A value that was asked to stay on one side of a bound.
struct Check {
  std::string name;  ///< "max-kl"
  double value = 0;
  double bound = 0;
  bool at_least = false;  ///< the bound is a lower one
  /// NaN never holds.
  bool holds() const { return at_least ? value >= bound : value <= bound; }
};

/// [{"name", "value", "bound", "holds"}, …]
OrderedJson checks_json(const std::vector<Check>& checks);

/// A line for each: "max-kl: 0.00012, at most 0.001: holds".
std::string checks_text(const std::vector<Check>& checks);

/// check_failed unless all hold.
ExitCode checks_exit(const std::vector<Check>& checks);

}  // namespace quern::tools
