#include "tools/quality/summaries/summary_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/quality/rouge/rouge_report.h"

namespace quern::tools {
namespace {

double tokens_per_s(const SummarySet& set) {
  return static_cast<double>(set.num_output_tokens()) / set.latency_s.value();
}

std::string set_text(const SummarySet& set) {
  std::string text = set.name;
  if (set.latency_s) {
    text += fmt::format(" (total latency: {:.3f} sec), {:.1f} tokens/s", *set.latency_s,
                        tokens_per_s(set));
  }
  return text + '\n' + summaries_table(rouge::summarize_scores(set.scores));
}

OrderedJson set_json(const SummarySet& set) {
  OrderedJson json = {{"name", set.name}};
  if (set.latency_s) {
    json["total_latency_s"] = rounded(*set.latency_s, 6);
    json["output_tokens"] = set.num_output_tokens();
    json["tokens_per_s"] = rounded(tokens_per_s(set), 1);
  }
  if (set.num_failed > 0) {
    json["num_failed"] = set.num_failed;
    json["first_error"] = set.first_error;
  }
  json["scores"] = summaries_json(rouge::summarize_scores(set.scores));
  return json;
}

std::string against_reference_text(const SummarySet& ours, const SummarySet& reference) {
  std::string text =
      fmt::format("F of {} minus that of {}, in points\n", ours.name, reference.name);
  const auto differences = rouge_differences(ours.scores, reference.scores);
  for (std::size_t kind = 0; kind < rouge::kNumRouge; ++kind) {
    const auto& [mean, interval] = differences[kind];
    text += fmt::format("{:<10} {:>+9.2f}   95 % paired interval {:+.2f} to {:+.2f}\n",
                        rouge::kRougeNames[kind], mean, interval.low, interval.high);
  }
  const TokenAgreement agreement = token_agreement(ours.summaries, reference.summaries);
  if (agreement.num_compared == 0) return text + "token ids: the reference tells none\n";
  return text + fmt::format(
                    "token ids: {} of {} summaries are the same; {:.2f} % before the first "
                    "difference\n",
                    agreement.num_same, agreement.num_compared, 100 * agreement.mean_shared_prefix);
}

OrderedJson against_reference_json(const SummarySet& ours, const SummarySet& reference) {
  const auto differences = rouge_differences(ours.scores, reference.scores);
  OrderedJson points = OrderedJson::object();
  for (std::size_t kind = 0; kind < rouge::kNumRouge; ++kind) {
    const auto& [mean, interval] = differences[kind];
    points[rouge::kRougeNames[kind]] = {
        {"fmeasure", mean / kPoints},
        {"interval", {interval.low / kPoints, interval.high / kPoints}}};
  }
  const TokenAgreement agreement = token_agreement(ours.summaries, reference.summaries);
  return {{"differences", std::move(points)},
          {"token_agreement",
           {{"num_compared", agreement.num_compared},
            {"num_same", agreement.num_same},
            {"mean_shared_prefix", agreement.mean_shared_prefix}}}};
}

}  // namespace

std::array<RougeDifference, rouge::kNumRouge> rouge_differences(
    const std::vector<rouge::Scores>& ours, const std::vector<rouge::Scores>& reference) {
  const std::size_t count = std::min(ours.size(), reference.size());
  std::array<RougeDifference, rouge::kNumRouge> differences;
  for (std::size_t kind = 0; kind < rouge::kNumRouge; ++kind) {
    std::vector<double> points;
    for (std::size_t i = 0; i < count; ++i) {
      points.push_back(kPoints * (ours[i][kind].fmeasure - reference[i][kind].fmeasure));
    }
    differences[kind] = {mean_of(points), bootstrap_mean(points)};
  }
  return differences;
}

std::vector<std::string> summary_errors(const SummaryReport& report) {
  std::vector<std::string> errors;
  for (const SummarySet* set : {&report.engine, report.reference ? &*report.reference : nullptr}) {
    if (set == nullptr || set->num_failed == 0) continue;
    errors.push_back(fmt::format("{}: {} of {} articles failed: {}", set->name, set->num_failed,
                                 set->summaries.size(), set->first_error));
  }
  return errors;
}

std::string first_article_text(const SummaryReport& report) {
  const Article& article = report.articles.good.front();
  std::string text =
      fmt::format("Article : {}\n\nHighlights : {}\n", article.text, article.highlights);
  const auto add_set = [&](const SummarySet& set) {
    if (!set.summaries.empty()) {
      text += fmt::format("\nSummary by {} : {}\n", set.name, set.summaries.front().text);
    }
  };
  add_set(report.engine);
  if (report.reference) add_set(*report.reference);
  return text + '\n';
}

std::string summary_text(const SummaryReport& report) {
  std::string text = fmt::format(
      "{}{} articles of {} ({} bad ones skipped), prompt style {}, "
      "at most {} + {} tokens{}\n\n",
      report.complete ? "" : "interrupted: ", report.engine.scores.size(), report.dataset,
      report.articles.num_skipped, report.prompt_style, report.max_input_length,
      report.max_new_tokens, report.seed ? fmt::format(", seed {}", *report.seed) : "");
  text += set_text(report.engine);
  if (report.reference) {
    text += '\n' + set_text(*report.reference);
    text += '\n' + against_reference_text(report.engine, *report.reference);
  }
  if (!report.checks.empty()) text += '\n' + checks_text(report.checks);
  return text;
}

OrderedJson summary_json(const SummaryReport& report) {
  OrderedJson json = {{"dataset", report.dataset},
                      {"num_articles", report.engine.scores.size()},
                      {"num_skipped", report.articles.num_skipped},
                      {"complete", report.complete},
                      {"prompt_style", report.prompt_style},
                      {"max_input_length", report.max_input_length},
                      {"max_new_tokens", report.max_new_tokens},
                      {"seed", nullptr},
                      {"engine", set_json(report.engine)}};
  if (report.seed) json["seed"] = *report.seed;
  if (report.reference) {
    json["reference"] = set_json(*report.reference);
    json.update(against_reference_json(report.engine, *report.reference));
  }
  if (!report.checks.empty()) json["checks"] = checks_json(report.checks);
  return json;
}

}  // namespace quern::tools
