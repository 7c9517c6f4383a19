#include "tools/quality/perplexity/perplexity_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "tools/output/text_table.h"
#include "tools/quality/engine_spec.h"
#include "tools/quality/statistics.h"

namespace quern::tools {
namespace {

/// Where people look for a divergence: the middle, and the tail that a mean hides.
constexpr std::array<std::pair<const char*, double>, 6> kPercentiles = {
    {{"median", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}}};

OrderedJson reference_json(const PerplexityReport& report) {
  const Judgement& judgement = report.judgement;
  OrderedJson kl = {{"mean", judgement.mean_kl()}};
  for (const auto& [name, value] : kl_percentiles(judgement)) kl[name] = value;
  return {{"reference", report.reference},
          {"mean_nll", judgement.reference_mean_nll()},
          {"perplexity", judgement.reference_perplexity()},
          {"perplexity_increase_percent", judgement.perplexity_increase()},
          {"kl", std::move(kl)},
          {"top1_agreement", judgement.top1_agreement()}};
}

void add_reference_rows(const PerplexityReport& report, TextTable& table) {
  const Judgement& judgement = report.judgement;
  table.heading("Against " + report.reference);
  table.row("perplexity",
            fmt::format("{:.4f}; ours differs by {:+.6f} %", judgement.reference_perplexity(),
                        judgement.perplexity_increase()));
  std::string kl = fmt::format("mean {:.3g}", judgement.mean_kl());
  for (const auto& [name, value] : kl_percentiles(judgement)) {
    kl += fmt::format(", {} {:.3g}", name, value);
  }
  table.row("KL divergence", kl + " nats");
  table.row("same top token", fmt::format("{:.4f} % of {}", 100 * judgement.top1_agreement(),
                                          grouped_digits(judgement.kl.size())));
}

}  // namespace

std::vector<std::pair<const char*, double>> kl_percentiles(const Judgement& judgement) {
  std::vector<double> sorted = judgement.kl;
  // A NaN has no place in an order: with one nothing is known of any percentile.
  const auto is_nan = [](double kl) { return std::isnan(kl); };
  if (std::any_of(sorted.begin(), sorted.end(), is_nan)) {
    std::fill(sorted.begin(), sorted.end(), std::numeric_limits<double>::quiet_NaN());
  }
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::pair<const char*, double>> values;
  values.reserve(kPercentiles.size());
  for (const auto& [name, fraction] : kPercentiles) {
    values.emplace_back(name, percentile(sorted, fraction));
  }
  return values;
}

OrderedJson perplexity_json(const PerplexityReport& report) {
  const Judgement& judgement = report.judgement;
  OrderedJson json = {
      {"file", report.file},
      {"engine", engine_name(report.engine)},
      {"num_tokens", report.text.ids.size()},
      {"num_scored", judgement.nll.size()},
      {"num_nonfinite", judgement.num_nonfinite},
      {"complete", judgement.complete},
      {"window", report.text.settings.window},
      {"stride", report.text.settings.stride},
      {"mean_nll", judgement.mean_nll()},
      {"perplexity", judgement.perplexity()},
      {"seconds", rounded(report.seconds, 3)},
      {"tokens_per_s", rounded(static_cast<double>(judgement.nll.size()) / report.seconds, 1)}};
  if (!report.reference.empty()) json["against"] = reference_json(report);
  if (!report.checks.empty()) json["checks"] = checks_json(report.checks);
  return json;
}

std::string perplexity_text(const PerplexityReport& report) {
  const Judgement& judgement = report.judgement;
  TextTable table;
  table.heading(fmt::format("{} by {}{}", report.file, engine_name(report.engine),
                            judgement.complete ? "" : ", interrupted"));
  table.row("perplexity", fmt::format("{:.4f}", judgement.perplexity()));
  table.row("mean NLL", fmt::format("{:.6f} nats over {} of {} tokens", judgement.mean_nll(),
                                    grouped_digits(judgement.nll.size()),
                                    grouped_digits(report.text.ids.size())));
  table.row("window, stride",
            fmt::format("{}, {} tokens", report.text.settings.window, report.text.settings.stride));
  table.row("time", fmt::format("{:.1f} s, {:.0f} tokens/s", report.seconds,
                                static_cast<double>(judgement.nll.size()) / report.seconds));
  if (!report.reference.empty()) add_reference_rows(report, table);
  std::string text = table.text(false);
  if (!report.checks.empty()) text += '\n' + checks_text(report.checks);
  return text;
}

}  // namespace quern::tools
