#include "tools/quality/summaries/summaries.h"

#include <algorithm>

#include "tools/cli/fail.h"
#include "tools/quality/data/records.h"

namespace quern::tools {
namespace {

std::size_t shared_prefix(const TokenIds& left, const TokenIds& right) {
  const auto [end, unused] = std::mismatch(left.begin(), left.end(), right.begin(), right.end());
  return static_cast<std::size_t>(end - left.begin());
}

void require_same_prompt(const std::string& place, const TokenIds& theirs, const TokenIds& ours) {
  if (theirs == ours) return;
  const std::size_t at = shared_prefix(theirs, ours);
  const auto id_at = [&](const TokenIds& ids) {
    return at < ids.size() ? std::to_string(ids[at]) : "the end";
  };
  fail(ErrorCode::bad_file,
       "{}: key 'prompt_ids': expected our prompt's {} ids, with {} at {}, got {} with {}", place,
       ours.size(), id_at(ours), at, theirs.size(), id_at(theirs));
}

}  // namespace

std::size_t SummarySet::num_output_tokens() const {
  std::size_t count = 0;
  for (const Summary& summary : summaries) count += summary.output_ids.value_or(TokenIds()).size();
  return count;
}

std::vector<Summary> read_summaries(const std::string& file, const std::vector<TokenIds>& prompts) {
  RecordReader reader(file, RecordFormat::jsonl);
  std::vector<Summary> summaries;
  for (const TokenIds& prompt : prompts) {
    const auto record = reader.next();
    if (!record) {
      fail(ErrorCode::bad_file, "{}: expected {} summaries, one for each article, got {}",
           input_name(file), prompts.size(), summaries.size());
    }
    if (const auto ids = record->token_ids("prompt_ids")) {
      require_same_prompt(record->source(), *ids, prompt);
    }
    summaries.push_back({record->required_string("text"), record->token_ids("output_ids")});
  }
  return summaries;
}

std::vector<rouge::Scores> score_summaries(const std::vector<Summary>& summaries,
                                           const std::vector<Article>& articles, bool stem) {
  std::vector<rouge::Scores> scores;
  for (std::size_t i = 0; i < summaries.size(); ++i) {
    scores.push_back(rouge::score_pair(summaries[i].text, articles[i].highlights, stem));
  }
  return scores;
}

TokenAgreement token_agreement(const std::vector<Summary>& left,
                               const std::vector<Summary>& right) {
  TokenAgreement agreement;
  double shares = 0;
  for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    if (!left[i].output_ids || !right[i].output_ids) continue;
    const TokenIds& ours = *left[i].output_ids;
    const TokenIds& theirs = *right[i].output_ids;
    const std::size_t longer = std::max(ours.size(), theirs.size());
    ++agreement.num_compared;
    agreement.num_same += static_cast<std::size_t>(ours == theirs);
    shares += longer == 0
                  ? 1.0
                  : static_cast<double>(shared_prefix(ours, theirs)) / static_cast<double>(longer);
  }
  if (agreement.num_compared > 0) {
    agreement.mean_shared_prefix = shares / static_cast<double>(agreement.num_compared);
  }
  return agreement;
}

}  // namespace quern::tools
