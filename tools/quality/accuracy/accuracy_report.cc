#include "tools/quality/accuracy/accuracy_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/report/environment_json.h"

namespace quern::tools {

std::string accuracy_verdict(const AccuracyReport& report) {
  const auto num_failed = std::count_if(report.checks.begin(), report.checks.end(),
                                        [](const Check& check) { return !check.holds(); });
  std::string verdict = report.complete ? "" : "Interrupted. ";
  if (report.checks.empty()) return verdict + "Nothing was checked.";
  if (num_failed == 0) return verdict + fmt::format("All {} checks hold.", report.checks.size());
  return verdict + fmt::format("{} of {} checks DO NOT HOLD.", num_failed, report.checks.size());
}

OrderedJson accuracy_json(const AccuracyReport& report) {
  OrderedJson json = subject_json(report.info, report.tested);
  json["reference"] = report.reference;
  json["bounds"] = report.bounds;
  json["complete"] = report.complete;
  json["passed"] = report.complete && checks_exit(report.checks) == ExitCode::done;
  json["checks"] = checks_json(report.checks);
  json["nodes"] = OrderedJson::array();
  for (const NodeErrors& errors : report.nodes) json["nodes"].push_back(node_errors_json(errors));
  json["perplexity"] = report.perplexity ? perplexity_json(*report.perplexity) : nullptr;
  json["summaries"] = report.summaries ? summary_json(*report.summaries) : nullptr;
  json["environment"] = environment_json(report.environment);
  return json;
}

}  // namespace quern::tools
