#include "tools/quality/rouge/rouge_report.h"

#include <fmt/format.h>

namespace quern::tools {
namespace {

OrderedJson score_json(const rouge::Score& score) {
  return {{"precision", score.precision}, {"recall", score.recall}, {"fmeasure", score.fmeasure}};
}

}  // namespace

OrderedJson scores_json(const rouge::Scores& scores) {
  OrderedJson json = OrderedJson::object();
  for (std::size_t kind = 0; kind < rouge::kNumRouge; ++kind) {
    json[rouge::kRougeNames[kind]] = score_json(scores[kind]);
  }
  return json;
}

OrderedJson summaries_json(const RougeSummaries& summaries) {
  OrderedJson json = OrderedJson::object();
  for (std::size_t kind = 0; kind < rouge::kNumRouge; ++kind) {
    OrderedJson score = score_json(summaries[kind].mean);
    const Interval& interval = summaries[kind].fmeasure;
    score["fmeasure_interval"] = {interval.low, interval.high};
    json[rouge::kRougeNames[kind]] = std::move(score);
  }
  return json;
}

std::string summaries_table(const RougeSummaries& summaries) {
  std::string text = fmt::format("{:<10} {:>9} {:>9} {:>9}   95 % interval of F\n", "", "precision",
                                 "recall", "F");
  for (std::size_t kind = 0; kind < rouge::kNumRouge; ++kind) {
    const auto& [mean, interval] = summaries[kind];
    text += fmt::format("{:<10} {:>9.2f} {:>9.2f} {:>9.2f}   {:.2f} to {:.2f}\n",
                        rouge::kRougeNames[kind], kPoints * mean.precision, kPoints * mean.recall,
                        kPoints * mean.fmeasure, kPoints * interval.low, kPoints * interval.high);
  }
  return text;
}

}  // namespace quern::tools
