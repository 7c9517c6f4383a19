#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quern::tools::rouge {

/// Words as numbers: equal words have equal numbers.
using Words = std::span<const std::int32_t>;

/// The length of a longest common subsequence. Cost: |a| · |b| / 64 steps, memory linear in |b|.
std::size_t common_length(Words a, Words b);

/// Sets marks[i] for each word of `reference` that is in the longest common subsequence with
/// `prediction` that rouge_score's backtrack finds; of several it is a certain one, and the scores
/// depend on it. Shapes: marks [reference.size()]. Cost: |reference| · |prediction| / 64 steps for
/// each power of 64 in |reference|, and as many times 64 bits of memory for each of |prediction|.
void mark_common(Words reference, Words prediction, std::vector<bool>& marks);

}  // namespace quern::tools::rouge
