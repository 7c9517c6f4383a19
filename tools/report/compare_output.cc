#include "tools/report/compare_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

void add_value(const ValueComparison& value, TextTable& table) {
  table.row(value.value,
            fmt::format("{:<14} {}  {}", fmt::format("[{}, {}]", value.rows, value.cols),
                        error_text("abs", value.absolute), error_text("rel", value.relative)));
  table.row("", fmt::format("NMSE {:7.1e} in row {}; worst [{}, {}]: {} for {}{}", value.nmse,
                            value.nmse_row, value.worst_row, value.worst_col, value.worst_tested,
                            value.worst_reference, flags(value)));
  if (value.over_bound) table.row("", bound_text(value));
}

std::string verdict(const Comparison& comparison) {
  if (const ValueComparison* first = comparison.first_over_bound()) {
    return fmt::format("first over its bound: {} in step {}, value {}", first->node, first->step,
                       first->value);
  }
  const auto is_held = [](const ValueComparison& value) { return value.max_nmse.has_value(); };
  const bool any_held = std::any_of(comparison.values.begin(), comparison.values.end(), is_held);
  return fmt::format("{} values, {}", comparison.values.size(),
                     any_held ? "none over its bound" : "held to no bound");
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
  const ValueComparison* first = comparison.first_over_bound();
  json["first_over_bound"] = first == nullptr ? OrderedJson(nullptr) : OrderedJson(first->node);
  json["values"] = OrderedJson::array();
  for (const ValueComparison& value : comparison.values)
    json["values"].push_back(value_json(value));
  return json;
}

std::string comparison_text(const Comparison& comparison, const std::string& reference_file,
                            bool colour) {
  TextTable table;
  int step = -1;
  for (const ValueComparison& value : comparison.values) {
    if (value.step != step) table.heading(step_title(comparison, step = value.step));
    add_value(value, table);
  }
  const std::string sides =
      fmt::format("{} {} against {}", device_name(comparison.tested), dtype_name(comparison.tested),
                  reference_text(comparison, reference_file));
  return fmt::format("{}\n{}: {}\n", table.text(colour), sides, verdict(comparison));
}

}  // namespace quern::tools
