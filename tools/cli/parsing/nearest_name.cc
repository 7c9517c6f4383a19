#include "tools/cli/parsing/nearest_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace quern::tools {

int edit_distance(std::string_view from, std::string_view to) {
  const std::size_t columns = to.size() + 1;
  std::vector<int> cells((from.size() + 1) * columns);
  const auto cell = [&](std::size_t i, std::size_t j) -> int& { return cells[i * columns + j]; };
  for (std::size_t i = 0; i <= from.size(); ++i) cell(i, 0) = static_cast<int>(i);
  for (std::size_t j = 0; j <= to.size(); ++j) cell(0, j) = static_cast<int>(j);
  for (std::size_t i = 1; i <= from.size(); ++i) {
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const int replaced = cell(i - 1, j - 1) + (from[i - 1] == to[j - 1] ? 0 : 1);
      cell(i, j) = std::min({cell(i - 1, j) + 1, cell(i, j - 1) + 1, replaced});
      if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1]) {
        cell(i, j) = std::min(cell(i, j), cell(i - 2, j - 2) + 1);
      }
    }
  }
  return cell(from.size(), to.size());
}

std::string suggestion(std::string_view unknown, std::span<const std::string> names) {
  constexpr std::size_t kLongestName = 64;  // bounds the work for absurd arguments
  if (unknown.size() > kLongestName) return "";
  const std::string* nearest = nullptr;
  int nearest_distance = std::max(2, static_cast<int>(unknown.size()) / 3) + 1;
  for (const std::string& name : names) {
    const int distance = edit_distance(unknown, name);
    if (distance < nearest_distance) {
      nearest = &name;
      nearest_distance = distance;
    }
  }
  return nearest == nullptr ? "" : fmt::format("; did you mean '{}'?", *nearest);
}

}  // namespace quern::tools
