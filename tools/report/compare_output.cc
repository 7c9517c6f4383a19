#include "tools/report/compare_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tools/cli/model_options.h"
#include "tools/output/text_table.h"

namespace quern::tools {
namespace {

/// JSON has no infinity: an error that is not finite is null.
OrderedJson number(double value) {
  return std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr);
}

OrderedJson value_json(const ValueComparison& value) {
  OrderedJson json = {{"step", value.step},
                      {"node", value.node},
                      {"op", value.op},
                      {"value", value.value},
                      {"shape", {value.rows, value.cols}},
                      {"absolute_error", error_statistics_json(value.absolute)},
                      {"relative_error", error_statistics_json(value.relative)},
                      {"nmse", number(value.nmse)},
                      {"nmse_row", value.nmse_row},
                      {"max_nmse", nullptr},
                      {"error_over_bound", number(value.excess)},
                      {"worst",
                       {{"index", {value.worst_row, value.worst_col}},
                        {"tested", number(shortest(value.worst_tested))},
                        {"reference", number(shortest(value.worst_reference))}}},
                      {"num_nan", value.num_nan},
                      {"num_infinite", value.num_infinite},
                      {"num_saturated", value.num_saturated},
                      {"num_loose_bounds", value.num_loose_bounds},
                      {"over_bound", value.over_bound}};
  if (value.max_nmse) json["max_nmse"] = *value.max_nmse;
  return json;
}

std::string reference_text(const Comparison& comparison, const std::string& reference_file) {
  if (!reference_file.empty()) return reference_file;
  return fmt::format("{} {}", device_name(comparison.reference), dtype_name(comparison.reference));
}

std::string step_title(const Comparison& comparison, int index) {
  const ComparedStep& step = comparison.steps[static_cast<std::size_t>(index)];
  const int num_prompts = step.num_seqs - step.num_decode_seqs;
  std::string title = fmt::format("Step {}: ", index);
  if (num_prompts > 0) {
    title += fmt::format("{} tokens of {} prompt{}", step.num_tokens - step.num_decode_seqs,
                         num_prompts, num_prompts == 1 ? "" : "s");
  }
  if (step.num_decode_seqs > 0) {
    title += fmt::format("{}{} decoding", num_prompts > 0 ? ", " : "", step.num_decode_seqs);
  }
  return title + "; errors: largest, mean, median";
}

std::string flags(const ValueComparison& value) {
  std::string text;
  const auto add = [&](std::int64_t count, const char* what) {
    if (count > 0) text += fmt::format("  {} {}", count, what);
  };
  add(value.num_nan, "NaN");
  add(value.num_infinite, "infinite");
  add(value.num_saturated, "saturated");
  add(value.num_loose_bounds, "loosely bounded");
  return text;
}

std::string bound_text(const ValueComparison& value) {
  std::string text = "OVER ITS BOUND:";
  if (value.max_nmse) text += fmt::format(" NMSE at most {:.0e} expected", *value.max_nmse);
  if (value.excess > 1.0) {
    text += fmt::format("{} worst error {:.3g} times what its sums can explain",
                        value.max_nmse ? "," : "", value.excess);
  }
  return text;
}

std::string error_text(const char* name, const ErrorStatistics& errors) {
  return fmt::format("{} {:7.1e} {:7.1e} {:7.1e}", name, errors.max, errors.mean, errors.median);
}

enum class StepShown { no, yes };

void add_value(const ValueComparison& value, StepShown shown, TextTable& table) {
  const std::string step =
      shown == StepShown::yes ? fmt::format("step {}, ", value.step) : std::string();
  table.row(value.value,
            fmt::format("{:<14} {}  {}", fmt::format("[{}, {}]", value.rows, value.cols),
                        error_text("abs", value.absolute), error_text("rel", value.relative)));
  table.row("", fmt::format("{}NMSE {:.1e} in row {}; worst [{}, {}]: {} for {}{}", step,
                            value.nmse, value.nmse_row, value.worst_row, value.worst_col,
                            value.worst_tested, value.worst_reference, flags(value)));
  if (value.over_bound) table.row("", bound_text(value));
}

/// The error of a value in units of its bounds, or the NMSE of its worst row where it has none.
double severity(const ValueComparison& value) {
  if (std::isnan(value.nmse) || value.num_nan > 0) return std::numeric_limits<double>::infinity();
  const bool held = value.max_nmse && *value.max_nmse > 0;
  const double rows = held ? value.nmse / *value.max_nmse : value.nmse;
  return std::max(rows, value.excess);
}

/// The worst values, those over their bounds first.
std::vector<const ValueComparison*> worst_values(const Comparison& comparison, std::size_t count) {
  std::vector<const ValueComparison*> values;
  for (const ValueComparison& value : comparison.values) values.push_back(&value);
  const auto worse = [](const ValueComparison* a, const ValueComparison* b) {
    if (a->over_bound != b->over_bound) return a->over_bound;
    return severity(*a) > severity(*b);
  };
  std::stable_sort(values.begin(), values.end(), worse);
  values.resize(std::min(values.size(), count));
  return values;
}

std::string verdict(const Comparison& comparison) {
  if (const ValueComparison* first = comparison.first_over_bound()) {
    const auto count = std::count_if(comparison.values.begin(), comparison.values.end(),
                                     [](const ValueComparison& value) { return value.over_bound; });
    return fmt::format("{} of {} values over bound, first over its bound: {} in step {}, value {}",
                       count, comparison.values.size(), first->node, first->step, first->value);
  }
  const auto is_held = [](const ValueComparison& value) { return value.max_nmse.has_value(); };
  const bool any_held = std::any_of(comparison.values.begin(), comparison.values.end(), is_held);
  return fmt::format("{} values, {}", comparison.values.size(),
                     any_held ? "none over its bound" : "held to no bound");
}

std::string verdict_line(const Comparison& comparison, const std::string& reference_file) {
  return fmt::format("\n{} {} against {}{}: {}\n", device_name(comparison.tested),
                     dtype_name(comparison.tested), reference_text(comparison, reference_file),
                     comparison.complete ? "" : ", interrupted", verdict(comparison));
}

}  // namespace

OrderedJson error_statistics_json(const ErrorStatistics& errors) {
  return {{"max", number(errors.max)},
          {"mean", number(errors.mean)},
          {"median", number(errors.median)}};
}

OrderedJson comparison_json(const Comparison& comparison, const std::string& reference_file) {
  OrderedJson json = subject_json(comparison.info, comparison.tested);
  if (reference_file.empty()) {
    json["reference"] = {{"device", device_name(comparison.reference)},
                         {"dtype", dtype_name(comparison.reference)}};
  } else {
    json["reference"] = {{"file", reference_file}};
  }
  json["complete"] = comparison.complete;
  const ValueComparison* first = comparison.first_over_bound();
  json["first_over_bound"] = first == nullptr ? OrderedJson(nullptr) : OrderedJson(first->node);
  json["values"] = OrderedJson::array();
  for (const ValueComparison& value : comparison.values)
    json["values"].push_back(value_json(value));
  return json;
}

std::string comparison_summary(const Comparison& comparison, const std::string& reference_file,
                               bool colour) {
  constexpr std::size_t kNumShown = 5;
  const auto worst = worst_values(comparison, kNumShown);
  TextTable table;
  table.heading(fmt::format("The {} worst of {} values in {} steps; errors: largest, mean, median",
                            worst.size(), comparison.values.size(), comparison.steps.size()));
  for (const ValueComparison* value : worst) {
    add_value(*value, StepShown::yes, table);
  }
  return table.text(colour) + verdict_line(comparison, reference_file);
}

std::string comparison_text(const Comparison& comparison, const std::string& reference_file,
                            bool colour) {
  TextTable table;
  int step = -1;
  for (const ValueComparison& value : comparison.values) {
    if (value.step != step) table.heading(step_title(comparison, step = value.step));
    add_value(value, StepShown::no, table);
  }
  return table.text(colour) + verdict_line(comparison, reference_file);
}

}  // namespace quern::tools
