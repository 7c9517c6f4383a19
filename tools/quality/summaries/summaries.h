#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/quality/data/articles.h"
#include "tools/quality/rouge/rouge.h"

namespace quern::tools {

using TokenIds = std::vector<std::int32_t>;

/// One article's summary by one model.
struct Summary {
  std::string text;
  std::optional<TokenIds> output_ids;  ///< unset when a file has none
};

/// All summaries by one model.
struct SummarySet {
  std::string name;  ///< "cuda:0-float16", or a file's name
  std::vector<Summary> summaries;
  std::vector<rouge::Scores> scores;  ///< against the highlights
  std::optional<double> latency_s;    ///< of all; unset for a file
  std::size_t num_failed = 0;         ///< requests that ended with an error
  std::string first_error;            ///< of the first of these

  std::size_t num_output_tokens() const;
};

/// Reads, from a file, "-" or a pipe, JSON lines of {"text", "output_ids"?, "prompt_ids"?}, one for
/// each prompt and in their order; more are ignored. Errors: not_found; bad_file naming the line,
/// for too few, and where prompt_ids are not ours, naming the first that differs: then the
/// summaries do not compare.
std::vector<Summary> read_summaries(const std::string& file, const std::vector<TokenIds>& prompts);

/// Scores each summary against its article's highlights; there may be fewer summaries.
std::vector<rouge::Scores> score_summaries(const std::vector<Summary>& summaries,
                                           const std::vector<Article>& articles, bool stem);

/// How far two sets of summaries are the same, token by token.
struct TokenAgreement {
  std::size_t num_compared = 0;
  std::size_t num_same = 0;  ///< articles whose ids are all the same
  double mean_shared_prefix =
      0;  ///< mean share of the longer one's ids before the first difference
};

/// Over the articles that both have ids of.
TokenAgreement token_agreement(const std::vector<Summary>& left, const std::vector<Summary>& right);

}  // namespace quern::tools
