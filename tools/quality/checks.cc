#include "tools/quality/checks.h"

#include <fmt/format.h>

#include <algorithm>

namespace quern::tools {

OrderedJson checks_json(const std::vector<Check>& checks) {
  OrderedJson json = OrderedJson::array();
  for (const Check& check : checks) {
    json.push_back({{"name", check.name},
                    {"value", check.value},
                    {"bound", check.bound},
                    {"holds", check.holds()}});
  }
  return json;
}

std::string checks_text(const std::vector<Check>& checks) {
  std::string text;
  for (const Check& check : checks) {
    text += fmt::format("{}: {:.6g}, {} {:.6g}: {}\n", check.name, check.value,
                        check.at_least ? "at least" : "at most", check.bound,
                        check.holds() ? "holds" : "DOES NOT HOLD");
  }
  return text;
}

ExitCode checks_exit(const std::vector<Check>& checks) {
  const bool all_hold =
      std::all_of(checks.begin(), checks.end(), [](const Check& check) { return check.holds(); });
  return all_hold ? ExitCode::done : ExitCode::check_failed;
}

}  // namespace quern::tools
