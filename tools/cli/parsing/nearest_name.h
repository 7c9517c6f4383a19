#pragma once

#include <span>
#include <string>
#include <string_view>

namespace quern::tools {

/// The fewest insertions, deletions, replacements and swaps of neighbours that turn one text into
/// the other. Source: the optimal string alignment distance.
int edit_distance(std::string_view from, std::string_view to);

/// "; did you mean '--top-k'?" with the nearest of `names`, or nothing when none is near.
std::string suggestion(std::string_view unknown, std::span<const std::string> names);

}  // namespace quern::tools
