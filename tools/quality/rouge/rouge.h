#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "tools/quality/statistics.h"

namespace quern::tools::rouge {

/// As fractions in [0, 1]. fmeasure is the harmonic mean, 0 when both are 0.
struct Score {
  double precision = 0;
  double recall = 0;
  double fmeasure = 0;
};

/// The kinds of score, by their place in Scores.
inline constexpr std::array<const char*, 4> kRougeNames = {"rouge1", "rouge2", "rougeL",
                                                           "rougeLsum"};
inline constexpr std::size_t kNumRouge = kRougeNames.size();
using Scores = std::array<Score, kNumRouge>;

/// A prediction held against one reference. rougeLsum takes lines as sentences, the others ignore
/// them; a text without words scores 0. Texts are UTF-8. Cost: the product of the numbers of words.
/// Source: Lin, "ROUGE: A package for automatic evaluation of summaries" (2004), as Google's
/// rouge_score computes it.
Scores score_pair(std::string_view prediction, std::string_view reference, bool stem);

/// Many pairs' scores of one kind.
struct Summary {
  Score mean;
  Interval fmeasure;  ///< bootstrap, of the mean
};

/// One Summary for each kind.
std::array<Summary, kNumRouge> summarize_scores(std::span<const Scores> pairs,
                                                const BootstrapOptions& options = {});

/// The F-measures of one kind, a pair each.
std::vector<double> fmeasures(std::span<const Scores> pairs, std::size_t kind);

}  // namespace quern::tools::rouge
