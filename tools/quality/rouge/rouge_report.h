#pragma once

#include <string>

#include "tools/output/json_output.h"
#include "tools/quality/rouge/rouge.h"

namespace quern::tools {

using RougeSummaries = std::array<rouge::Summary, rouge::kNumRouge>;

/// Points are what people read: 0 to 100.
inline constexpr double kPoints = 100;

/// {"rouge1": {"precision", "recall", "fmeasure"}, …}, as fractions.
OrderedJson scores_json(const rouge::Scores& scores);

/// The same of the means, with the interval: "fmeasure_interval": [low, high].
OrderedJson summaries_json(const RougeSummaries& summaries);

/// A line for each kind of score, in points, under a line of names.
std::string summaries_table(const RougeSummaries& summaries);

}  // namespace quern::tools
