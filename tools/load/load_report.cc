#include "tools/load/load_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "tools/bench/document.h"
#include "tools/report/environment_json.h"
#include "tools/report/spread.h"

namespace quern::tools {
namespace {

struct Failures {
  std::size_t count = 0;
  std::string example;  ///< the first one's message
};

/// What the report counts and measures, of all answers.
struct Totals {
  std::size_t num_whole = 0;
  std::size_t num_good = 0;  ///< of these, those that meet the objectives
  std::size_t prompt_tokens = 0;
  std::size_t output_tokens = 0;
  std::string model;
  std::vector<double> latencies, first_tokens, inter_tokens, per_token;
  std::map<std::string, Failures> failures;  ///< by kind
};

Totals totals_of(const LoadResult& result, const Objectives& objectives) {
  Totals totals;
  for (const AnswerRecord& answer : result.answers) {
    if (answer.failed()) {
      Failures& same = totals.failures[answer.error_kind];
      if (same.count++ == 0) same.example = answer.error_message;
      continue;
    }
    ++totals.num_whole;
    if (objectives.met_by(answer)) ++totals.num_good;
    totals.prompt_tokens += answer.prompt_tokens;
    totals.output_tokens += answer.output_tokens;
    if (totals.model.empty()) totals.model = answer.model;
    totals.latencies.push_back(answer.latency_ms);
    totals.first_tokens.push_back(answer.first_token_ms);
    totals.inter_tokens.insert(totals.inter_tokens.end(), answer.inter_token_ms.begin(),
                               answer.inter_token_ms.end());
    if (const auto time = answer.time_per_output_token_ms()) totals.per_token.push_back(*time);
  }
  return totals;
}

struct SpreadRow {
  const char* name;
  const char* title;
  const std::vector<double>& times_ms;
};

std::array<SpreadRow, 4> rows_of(const Totals& totals) {
  return {{{"latency_ms", "latency", totals.latencies},
           {"time_to_first_token_ms", "first token", totals.first_tokens},
           {"inter_token_ms", "between tokens", totals.inter_tokens},
           {"time_per_output_token_ms", "per new token", totals.per_token}}};
}

double per_second(std::size_t count, const LoadResult& result) {
  return result.seconds > 0 ? static_cast<double>(count) / result.seconds : 0.0;
}

OrderedJson objectives_json(const Objectives& objectives) {
  OrderedJson json = OrderedJson::object();
  const auto add = [&](const char* name, const std::optional<float>& bound) {
    if (bound) json[name] = shortest(*bound);
  };
  add("time_to_first_token_ms", objectives.first_token_ms);
  add("time_per_output_token_ms", objectives.time_per_output_token_ms);
  add("latency_ms", objectives.latency_ms);
  return json;
}

OrderedJson serve_json(const LoadSettings& settings, const Objectives& objectives,
                       const LoadResult& result) {
  const Totals totals = totals_of(result, objectives);
  OrderedJson json = {
      {"url", settings.url.socket_path.empty() ? "http://" + settings.url.authority()
                                               : "unix:" + settings.url.socket_path},
      {"model", totals.model},
      {"rate", settings.rate > 0 ? OrderedJson(settings.rate) : OrderedJson(nullptr)},
      {"concurrency", settings.rate > 0 ? OrderedJson(nullptr) : OrderedJson(settings.concurrency)},
      {"seconds", rounded(result.seconds, 3)},
      {"requests", result.answers.size()},
      {"finished", totals.num_whole},
      {"most_at_once", result.most_at_once},
      {"input_tokens", totals.prompt_tokens},
      {"output_tokens", totals.output_tokens},
      {"requests_per_s", rounded(per_second(totals.num_whole, result), 3)},
      {"input_tokens_per_s", rounded(per_second(totals.prompt_tokens, result), 1)},
      {"output_tokens_per_s", rounded(per_second(totals.output_tokens, result), 1)}};
  for (const SpreadRow& row : rows_of(totals))
    json[row.name] = spread_json(spread_of(row.times_ms));
  if (objectives.any()) {
    json["objectives"] = objectives_json(objectives);
    json["goodput_per_s"] = rounded(per_second(totals.num_good, result), 3);
    json["good"] = totals.num_good;
  }
  json["errors"] = OrderedJson::array();
  for (const auto& [kind, failures] : totals.failures) {
    json["errors"].push_back(
        {{"kind", kind}, {"count", failures.count}, {"example", failures.example}});
  }
  return json;
}

}  // namespace

bool Objectives::met_by(const AnswerRecord& answer) const {
  const auto holds = [](const std::optional<float>& bound, double value) {
    return !bound || value <= *bound;
  };
  return holds(first_token_ms, answer.first_token_ms) && holds(latency_ms, answer.latency_ms) &&
         holds(time_per_output_token_ms, answer.time_per_output_token_ms().value_or(0));
}

std::string load_table(const LoadSettings& settings, const Objectives& objectives,
                       const LoadResult& result) {
  const Totals totals = totals_of(result, objectives);
  std::string text =
      settings.rate > 0
          ? fmt::format("{} requests, {:g} a second wanted", result.answers.size(), settings.rate)
          : fmt::format("{} requests, {} at a time", result.answers.size(), settings.concurrency);
  text += fmt::format(
      ": {} were answered in {:.2f} s, at most {} in flight\n"
      "{:.2f} requests/s, {:.1f} prompt tokens/s, {:.1f} new tokens/s\n",
      totals.num_whole, result.seconds, result.most_at_once, per_second(totals.num_whole, result),
      per_second(totals.prompt_tokens, result), per_second(totals.output_tokens, result));
  text += spread_head();
  for (const SpreadRow& row : rows_of(totals)) {
    text += spread_row(row.title, spread_of(row.times_ms));
  }
  if (objectives.any()) {
    text += fmt::format("{} of them met the objectives: {:.2f} requests/s\n", totals.num_good,
                        per_second(totals.num_good, result));
  }
  return text;
}

OrderedJson load_document_json(const std::string& label, const LoadSettings& settings,
                               const Objectives& objectives, const LoadResult& result) {
  return {{"schema", "quern bench"},
          {"schema_version", kBenchSchemaVersion},
          {"program", label},
          {"environment", environment_json(environment())},
          {"settings", {{"warm_up", settings.warm_up}, {"runs", 1}, {"seed", settings.seed}}},
          {"engine", nullptr},
          {"ceilings", nullptr},
          {"cells", OrderedJson::array()},
          {"serve", serve_json(settings, objectives, result)}};
}

std::string load_failures(const LoadResult& result) {
  const Totals totals = totals_of(result, {});
  if (totals.failures.empty()) return "";
  std::string text = fmt::format("{} of {} requests failed",
                                 result.answers.size() - totals.num_whole, result.answers.size());
  const char* separator = ": ";
  for (const auto& [kind, failures] : totals.failures) {
    text += fmt::format("{}{} {} ({})", separator, failures.count, kind, failures.example);
    separator = ", ";
  }
  return text;
}

}  // namespace quern::tools
