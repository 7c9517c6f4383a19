#include "tools/bench/stress_report.h"

#include <fmt/format.h>

#include <array>

#include "tools/report/spread.h"

namespace quern::tools {
namespace {

struct Row {
  const char* name;
  const char* title;
  const std::vector<double>& times_ms;
};

std::array<Row, 3> rows_of(const StressResult& result) {
  return {{{"latency_ms", "latency", result.latencies},
           {"time_to_first_token_ms", "first token", result.first_tokens},
           {"inter_token_ms", "between tokens", result.inter_tokens}}};
}

struct StepRow {
  const char* name;
  const StepTimes::Kind& kind;
};

std::array<StepRow, 3> rows_of(const StepTimes& times) {
  return {{{"prefill", times.prefill}, {"mixed", times.mixed}, {"decode", times.decode}}};
}

/// The part of the time in which the device waited for the host.
double idle_share(const StepTimes::Kind& kind) {
  const double ms = kind.busy_ms + kind.idle_ms;
  return ms > 0 ? kind.idle_ms / ms : 0.0;
}

std::string step_table(const StepTimes& times) {
  std::string text = fmt::format("{:>16} {:>10} {:>10} {:>10} {:>10} {:>10}\n", "steps", "launches",
                                 "tokens", "busy ms", "idle ms", "idle %");
  for (const auto& [name, kind] : rows_of(times)) {
    text +=
        fmt::format("{:>16} {:>10} {:>10} {:>10.1f} {:>10.1f} {:>10.2f}\n", name, kind.num_launches,
                    kind.num_tokens, kind.busy_ms, kind.idle_ms, 100.0 * idle_share(kind));
  }
  return text;
}

OrderedJson step_json(const StepTimes& times) {
  OrderedJson json = OrderedJson::object();
  for (const auto& [name, kind] : rows_of(times)) {
    json[name] = {{"launches", kind.num_launches},
                  {"tokens", kind.num_tokens},
                  {"busy_ms", rounded(kind.busy_ms, 3)},
                  {"idle_ms", rounded(kind.idle_ms, 3)},
                  {"idle_share", rounded(idle_share(kind), 4)}};
  }
  return json;
}

double per_second(std::uint64_t count, const StressResult& result) {
  return result.seconds > 0 ? static_cast<double>(count) / result.seconds : 0.0;
}

}  // namespace

std::string stress_table(const StressSettings& settings, const StressResult& result) {
  std::string text = settings.num_requests > 0
                         ? fmt::format("{} requests came at once", result.num_requests)
                         : fmt::format("{} requests came in {:g} s ({:g} a second wanted)",
                                       result.num_requests, settings.seconds, settings.rate);
  text += fmt::format(
      ", {} were answered in {:.2f} s\n"
      "{:.2f} requests/s, {:.1f} prompt tokens/s, {:.1f} new tokens/s\n",
      result.num_finished, result.seconds, per_second(result.num_finished, result),
      per_second(result.input_tokens, result), per_second(result.output_tokens, result));
  text += spread_head();
  for (const Row& row : rows_of(result)) text += spread_row(row.title, spread_of(row.times_ms));
  if (result.step_times) text += step_table(*result.step_times);
  return text;
}

OrderedJson stress_json(const StressSettings& settings, const StressResult& result) {
  OrderedJson json = {
      {"arrival_s", settings.seconds},
      {"rate", settings.rate},
      {"at_once", settings.num_requests},
      {"max_input_len", settings.max_input_len},
      {"max_output_len", settings.max_output_len},
      {"seconds", rounded(result.seconds, 3)},
      {"requests", result.num_requests},
      {"finished", result.num_finished},
      {"input_tokens", result.input_tokens},
      {"output_tokens", result.output_tokens},
      {"requests_per_s", rounded(per_second(result.num_finished, result), 3)},
      {"input_tokens_per_s", rounded(per_second(result.input_tokens, result), 1)},
      {"output_tokens_per_s", rounded(per_second(result.output_tokens, result), 1)}};
  for (const Row& row : rows_of(result)) {
    json[row.name] = spread_json(spread_of(row.times_ms));
  }
  if (result.step_times) json["steps"] = step_json(*result.step_times);
  return json;
}

}  // namespace quern::tools
