#include "tools/bench/report.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

namespace quern::tools {
namespace {

using Cell = CellResult;
using Figure = std::optional<double>;

/// A column of table, CSV and JSON; docs/benchmarking.md defines each.
struct Column {
  std::string_view name;   ///< in CSV and JSON
  std::string_view title;  ///< in the table; empty: not there
  int width;
  int digits;                           ///< after the point
  Figure (*value)(const Cell& result);  ///< unset: withheld, or the cell has none
};

Figure runs_of(const Cell& result) { return static_cast<double>(result.latencies.size()); }

constexpr std::array<Column, 33> kColumns = {{
    {"batch_size", "batch", 5, 0,
     [](const Cell& r) -> Figure { return double(r.cell.batch_size); }},
    {"input_len", "in", 5, 0, [](const Cell& r) -> Figure { return double(r.cell.input_len); }},
    {"output_len", "out", 5, 0, [](const Cell& r) -> Figure { return double(r.cell.output_len); }},
    {"runs", "", 0, 0, runs_of},
    {"latency_ms", "latency ms", 10, 3, [](const Cell& r) -> Figure { return r.latency(0.5); }},
    {"latency_p95_ms", "p95", 9, 3, [](const Cell& r) -> Figure { return r.latency(0.95); }},
    {"latency_p99_ms", "p99", 9, 3, [](const Cell& r) -> Figure { return r.latency(0.99); }},
    {"tokens_per_s", "tokens/s", 9, 1, [](const Cell& r) -> Figure { return r.tokens_per_s(); }},
    {"time_to_first_token_ms", "first ms", 9, 3,
     [](const Cell& r) -> Figure { return r.prefill_median(); }},
    {"prefill_tokens_per_s", "prefill/s", 9, 0,
     [](const Cell& r) -> Figure { return r.prefill_tokens_per_s(); }},
    {"prefill_bytes", "", 0, 0, [](const Cell& r) -> Figure { return r.prefill_work.bytes; }},
    {"prefill_flops", "", 0, 0, [](const Cell& r) -> Figure { return r.prefill_work.flops; }},
    {"prefill_floor_ms", "", 0, 4, [](const Cell& r) -> Figure { return r.prefill_floor_ms(); }},
    {"prefill_share_of_floor", "of floor", 8, 3,
     [](const Cell& r) -> Figure { return r.prefill_share_of_floor(); }},
    {"decode_step_ms", "step ms", 8, 4, [](const Cell& r) -> Figure { return r.decode_step(); }},
    {"decode_tokens_per_s", "decode/s", 9, 1,
     [](const Cell& r) -> Figure { return r.decode_tokens_per_s(); }},
    {"decode_bytes", "", 0, 0, [](const Cell& r) -> Figure { return r.decode_work.bytes; }},
    {"decode_flops", "", 0, 0, [](const Cell& r) -> Figure { return r.decode_work.flops; }},
    {"decode_floor_ms", "", 0, 4, [](const Cell& r) -> Figure { return r.decode_floor_ms(); }},
    {"above_floor_us", "over us", 8, 1, [](const Cell& r) -> Figure { return r.above_floor_us(); }},
    {"share_of_floor", "of floor", 8, 3,
     [](const Cell& r) -> Figure { return r.decode_share_of_floor(); }},
    {"steps_run", "", 0, 1, [](const Cell& r) -> Figure { return r.steps_run; }},
    {"stop_checks", "", 0, 1, [](const Cell& r) -> Figure { return r.stop_checks; }},
    {"host_syncs", "", 0, 1, [](const Cell& r) -> Figure { return r.host_syncs; }},
    {"launches_per_step", "", 0, 0,
     [](const Cell& r) -> Figure { return double(r.launches_per_step); }},
    {"dependent_launches_per_step", "", 0, 0,
     [](const Cell& r) -> Figure { return double(r.dependent_launches_per_step); }},
    {"library_calls_per_step", "", 0, 0,
     [](const Cell& r) -> Figure { return double(r.library_calls_per_step); }},
    {"weight_bytes", "", 0, 0,
     [](const Cell& r) -> Figure { return double(r.memory.weight_bytes); }},
    {"kv_cache_bytes", "", 0, 0,
     [](const Cell& r) -> Figure { return double(r.memory.kv_cache_bytes); }},
    {"activation_bytes", "", 0, 0,
     [](const Cell& r) -> Figure { return double(r.memory.activation_bytes); }},
    {"workspace_bytes", "", 0, 0,
     [](const Cell& r) -> Figure { return double(r.memory.workspace_bytes); }},
    {"context_bytes", "", 0, 0,
     [](const Cell& r) -> Figure { return double(r.memory.context_bytes); }},
    {"peak_memory_bytes", "", 0, 0,
     [](const Cell& r) -> Figure { return double(r.memory.peak_bytes); }},
}};

std::string figure_text(const Column& column, const CellResult& result, const char* unset) {
  const Figure value = column.value(result);
  return value ? fmt::format("{:.{}f}", *value, column.digits) : unset;
}

template <typename Part>
std::string joined(const Part& part, std::string_view separator, bool in_table) {
  std::string line;
  for (const Column& column : kColumns) {
    if (in_table && column.title.empty()) continue;
    if (!line.empty()) line += separator;
    line += part(column);
  }
  return line + '\n';
}

OrderedJson times_json(const std::vector<double>& times_ms) {
  OrderedJson json = OrderedJson::array();
  for (const double time_ms : times_ms) json.push_back(rounded(time_ms, 3));
  return json;
}

}  // namespace

std::string bench_table_head() {
  return joined([](const Column& c) { return fmt::format("{:>{}}", c.title, c.width); }, " ", true);
}

std::string bench_table_row(const CellResult& result) {
  if (!result.skipped.empty()) {
    const BenchCell& cell = result.cell;
    return fmt::format("{:>5} {:>5} {:>5} skipped: {}\n", cell.batch_size, cell.input_len,
                       cell.output_len, result.skipped);
  }
  std::string text = joined(
      [&](const Column& c) { return fmt::format("{:>{}}", figure_text(c, result, "-"), c.width); },
      " ", true);
  for (const auto& [phase, reason] : result.withheld()) {
    text += fmt::format("      {} figures withheld: {}\n", phase, reason);
  }
  return text;
}

std::string bench_csv_head() {
  std::string line = joined([](const Column& c) { return c.name; }, ",", false);
  line.insert(line.size() - 1, ",withheld");
  return line;
}

std::string bench_csv_row(const CellResult& result) {
  std::string line =
      joined([&](const Column& c) { return figure_text(c, result, ""); }, ",", false);
  std::string reasons;
  for (const auto& [phase, reason] : result.withheld()) {
    reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", phase, reason);
  }
  line.insert(line.size() - 1, reasons.empty() ? "," : fmt::format(",\"{}\"", reasons));
  return line;
}

OrderedJson bench_cell_json(const CellResult& result) {
  if (!result.skipped.empty()) {
    return {{"batch_size", result.cell.batch_size},
            {"input_len", result.cell.input_len},
            {"output_len", result.cell.output_len},
            {"skipped", result.skipped}};
  }
  OrderedJson json = OrderedJson::object();
  for (const Column& column : kColumns) {
    const std::string name(column.name);
    const Figure value = column.value(result);
    if (!value) continue;
    if (column.digits == 0) {
      json[name] = std::llround(*value);
    } else {
      json[name] = rounded(*value, column.digits);
    }
  }
  OrderedJson withheld = OrderedJson::object();
  for (const auto& [phase, reason] : result.withheld()) withheld[std::string(phase)] = reason;
  if (!withheld.empty()) json["withheld"] = std::move(withheld);
  json["loop"] = loop_runner_name(result.loop);
  json["prefill_bound"] = result.prefill_work.bound(result.ceilings);
  json["decode_bound"] = result.decode_work.bound(result.ceilings);
  json["latencies_ms"] = times_json(result.latencies);
  json["first_tokens_ms"] = times_json(result.prefills);
  return json;
}

}  // namespace quern::tools
