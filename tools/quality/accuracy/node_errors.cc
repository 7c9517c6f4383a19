#include "tools/quality/accuracy/node_errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "tools/quality/statistics.h"
#include "tools/report/compare_output.h"

namespace quern::tools {
namespace {

constexpr const char* kAttention = "attention";

/// "layers.3.attention.keys" is "attention.keys" in every layer.
std::string kind_of(const std::string& value) {
  constexpr std::string_view kLayers = "layers.";
  if (!value.starts_with(kLayers)) return value;
  return value.substr(value.find('.', kLayers.size()) + 1);
}

/// Gathers statistics of several values' errors.
class ErrorGatherer {
 public:
  void add(const ErrorStatistics& errors, double num_elements) {
    max_ = std::max(max_, errors.max);
    sum_ += errors.mean * num_elements;
    num_elements_ += num_elements;
    medians_.push_back(errors.median);
  }
  ErrorStatistics all() {
    std::sort(medians_.begin(), medians_.end());
    return {max_, sum_ / num_elements_, percentile(medians_, 0.5)};
  }

 private:
  double max_ = 0;
  double sum_ = 0;
  double num_elements_ = 0;
  std::vector<double> medians_;
};

KindErrors errors_of(const std::string& kind, const std::vector<const ValueComparison*>& values) {
  KindErrors errors;
  errors.kind = kind;
  errors.num_values = values.size();
  ErrorGatherer absolute;
  ErrorGatherer relative;
  for (const ValueComparison* value : values) {
    const auto num_elements = static_cast<double>(value->rows * value->cols);
    absolute.add(value->absolute, num_elements);
    relative.add(value->relative, num_elements);
    errors.nmse = std::max(errors.nmse, value->nmse);
    errors.num_over_bound += static_cast<std::size_t>(value->over_bound);
  }
  errors.absolute = absolute.all();
  errors.relative = relative.all();
  return errors;
}

}  // namespace

std::vector<KindErrors> errors_by_kind(const Comparison& comparison, bool lock_step) {
  std::vector<std::pair<std::string, std::vector<const ValueComparison*>>> kinds;
  for (const ValueComparison& value : comparison.values) {
    // Free-running, another token may be right, and how far its id lies off means nothing.
    if (value.op == "Sample" && !lock_step) continue;
    const std::string kind = kind_of(value.value);
    auto found = std::find_if(kinds.begin(), kinds.end(),
                              [&](const auto& entry) { return entry.first == kind; });
    if (found == kinds.end()) found = kinds.insert(kinds.end(), {kind, {}});
    found->second.push_back(&value);
  }
  std::vector<KindErrors> errors;
  errors.reserve(kinds.size());
  for (const auto& [kind, values] : kinds) errors.push_back(errors_of(kind, values));
  return errors;
}

std::vector<Check> nmse_checks(const NodeErrors& errors, const NmseBounds& bounds) {
  std::vector<Check> checks;
  for (const KindErrors& kind : errors.kinds) {
    checks.push_back({fmt::format("{} NMSE of {}", errors.mode, kind.kind), kind.nmse,
                      kind.kind == kAttention ? bounds.attention : bounds.other});
  }
  return checks;
}

std::vector<Check> over_bound_checks(const NodeErrors& errors) {
  std::vector<Check> checks;
  for (const KindErrors& kind : errors.kinds) {
    checks.push_back({fmt::format("{} values over their bound, {}", errors.mode, kind.kind),
                      static_cast<double>(kind.num_over_bound), 0});
  }
  return checks;
}

OrderedJson node_errors_json(const NodeErrors& errors) {
  OrderedJson kinds = OrderedJson::array();
  for (const KindErrors& kind : errors.kinds) {
    kinds.push_back({{"kind", kind.kind},
                     {"num_values", kind.num_values},
                     {"absolute_error", error_statistics_json(kind.absolute)},
                     {"relative_error", error_statistics_json(kind.relative)},
                     {"nmse", kind.nmse},
                     {"num_over_bound", kind.num_over_bound}});
  }
  return {{"mode", errors.mode},
          {"tested", errors.tested},
          {"reference", errors.reference},
          {"complete", errors.complete},
          {"kinds", std::move(kinds)}};
}

}  // namespace quern::tools
