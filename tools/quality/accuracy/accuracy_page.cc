#include <fmt/format.h>

#include <initializer_list>

#include "tools/output/text_table.h"
#include "tools/quality/accuracy/accuracy_report.h"
#include "tools/quality/engine_spec.h"
#include "tools/quality/rouge/rouge_report.h"
#include "tools/report/environment_text.h"

namespace quern::tools {
namespace {

/// Text as a cell of a Markdown table may have it.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char byte : text) {
    if (byte == '|' || byte == '\\') escaped += '\\';
    escaped += byte == '\n' || byte == '\r' ? ' ' : byte;
  }
  return escaped;
}

/// A line of a Markdown table.
std::string row(std::initializer_list<std::string> cells) {
  std::string line = "|";
  for (const std::string& text : cells) line += ' ' + cell(text) + " |";
  return line + '\n';
}

/// A table's first two lines: a column of names, then columns of numbers.
std::string head(std::initializer_list<std::string> titles) {
  std::string line = row(titles) + "|:--|";
  for (std::size_t i = 1; i < titles.size(); ++i) line += "--:|";
  return line + '\n';
}

std::string checks_section(const AccuracyReport& report) {
  if (report.checks.empty()) return "";
  std::string text = "## Checks\n\n" + head({"check", "value", "bound", "verdict"});
  for (const Check& check : report.checks) {
    text += row({check.name, fmt::format("{:.3g}", check.value),
                 fmt::format("{} {:.3g}", check.at_least ? "at least" : "at most", check.bound),
                 check.holds() ? "holds" : "DOES NOT HOLD"});
  }
  return text + '\n';
}

std::string nodes_section(const NodeErrors& errors) {
  const bool lock_step = errors.mode == kLockStep;
  std::string text = fmt::format(
      "## Nodes, {}\n\n{} against {}{}. {} Over all layers and steps: the largest error, the mean, "
      "the median of the values' medians; the worst row's NMSE.\n\n",
      errors.mode, errors.tested, errors.reference, errors.complete ? "" : ", interrupted",
      lock_step ? "Each node gets the reference's inputs: these are its own errors."
                : "Each side goes on with its own numbers: errors add up from node to node.");
  text +=
      head({"values", "absolute max", "mean", "median", "relative max", "mean", "median", "NMSE"});
  const auto number = [](double value) { return fmt::format("{:.1e}", value); };
  for (const KindErrors& kind : errors.kinds) {
    text += row({kind.kind, number(kind.absolute.max), number(kind.absolute.mean),
                 number(kind.absolute.median), number(kind.relative.max),
                 number(kind.relative.mean), number(kind.relative.median), number(kind.nmse)});
  }
  return text + '\n';
}

std::string perplexity_section(const PerplexityReport& report) {
  const Judgement& judgement = report.judgement;
  std::string text = fmt::format(
      "## Perplexity\n\n{} of {} tokens of {}{}, in windows of {} tokens, stride {}.\n\n",
      grouped_digits(judgement.nll.size()), grouped_digits(report.text.ids.size()), report.file,
      judgement.complete ? "" : ", interrupted", report.text.settings.window,
      report.text.settings.stride);
  const std::string tested = engine_name(report.engine);
  if (report.reference.empty()) {
    text += head({"", tested});
    return text + row({"perplexity", fmt::format("{:.4f}", judgement.perplexity())}) + '\n';
  }
  text += head({"", tested, report.reference, "difference"});
  text += row({"perplexity", fmt::format("{:.4f}", judgement.perplexity()),
               fmt::format("{:.4f}", judgement.reference_perplexity()),
               fmt::format("{:+.4f} %", judgement.perplexity_increase())});
  text += '\n' + head({"", "value"});
  text += row({"mean KL divergence, nats", fmt::format("{:.3g}", judgement.mean_kl())});
  for (const auto& [name, value] : kl_percentiles(judgement)) {
    text += row({fmt::format("KL divergence, {}", name), fmt::format("{:.3g}", value)});
  }
  text += row({"same top token", fmt::format("{:.2f} %", 100 * judgement.top1_agreement())});
  return text + '\n';
}

std::string summaries_section(const SummaryReport& report) {
  std::string text = fmt::format(
      "## Summaries\n\n{} articles of {} ({} bad ones skipped{}), prompt style {}, at most {} + {} "
      "tokens. F in points.\n\n",
      report.engine.scores.size(), report.dataset, report.articles.num_skipped,
      report.complete ? "" : ", interrupted", report.prompt_style, report.max_input_length,
      report.max_new_tokens);
  const auto points = [](const SummarySet& set, std::size_t kind) {
    return fmt::format("{:.2f}", kPoints * mean_of(rouge::fmeasures(set.scores, kind)));
  };
  if (!report.reference) {
    text += head({"", report.engine.name});
    for (std::size_t kind = 0; kind < rouge::kNumRouge; ++kind) {
      text += row({rouge::kRougeNames[kind], points(report.engine, kind)});
    }
    return text + '\n';
  }
  const SummarySet& reference = *report.reference;
  text += head(
      {"", report.engine.name, reference.name, "difference", "95 % paired bootstrap interval"});
  const auto differences = rouge_differences(report.engine.scores, reference.scores);
  for (std::size_t kind = 0; kind < rouge::kNumRouge; ++kind) {
    const auto& [mean, interval] = differences[kind];
    text += row({rouge::kRougeNames[kind], points(report.engine, kind), points(reference, kind),
                 fmt::format("{:+.2f}", mean),
                 fmt::format("{:+.2f} to {:+.2f}", interval.low, interval.high)});
  }
  const TokenAgreement agreement = token_agreement(report.engine.summaries, reference.summaries);
  return text + fmt::format("\nToken for token the same: {} of {} summaries.\n\n",
                            agreement.num_same, agreement.num_compared);
}

}  // namespace

std::string accuracy_page(const AccuracyReport& report) {
  const std::string tested = engine_name(report.tested);
  std::string page = fmt::format("# Accuracy of {} on {}\n\n**{}**\n\n", report.info.name, tested,
                                 accuracy_verdict(report));
  page += head({"", "what ran"});
  page += row({"model", fmt::format("{} ({})", report.info.name, report.info.model_type)});
  page += row({"tested", tested});
  page += row({"reference", report.reference});
  page += row({"bounds", report.bounds});
  page += '\n' + checks_section(report);
  for (const NodeErrors& errors : report.nodes) page += nodes_section(errors);
  if (report.perplexity) page += perplexity_section(*report.perplexity);
  if (report.summaries) page += summaries_section(*report.summaries);
  return page + "## Environment\n\n```\n" + environment_text(report.environment, false) + "```\n";
}

}  // namespace quern::tools
