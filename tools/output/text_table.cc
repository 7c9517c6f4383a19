#include "tools/output/text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace quern::tools {

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 4> kUnits = {"KiB", "MiB", "GiB", "TiB"};
  constexpr double kKibi = 1024.0;
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  double value = static_cast<double>(bytes) / kKibi;
  std::size_t unit = 0;
  // 1023.95 would print as 1024.0.
  while (value >= kKibi - 0.05 && unit + 1 < kUnits.size()) {
    value /= kKibi;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string grouped_digits(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t end = digits.size(); end > 3; end -= 3) digits.insert(end - 3, 1, ',');
  return digits;
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  if (text.size() <= width) return {std::string(text)};
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (lines.back().empty()) {
      lines.back() = word;
    } else if (lines.back().size() + 1 + word.size() <= width) {
      lines.back().append(" ").append(word);
    } else {
      lines.emplace_back(word);
    }
  }
  return lines;
}

void TextTable::heading(std::string title) { rows_.push_back({std::move(title), "", true}); }

void TextTable::row(std::string name, std::string value) {
  rows_.push_back({std::move(name), std::move(value), false});
}

std::string TextTable::text(bool colour) const {
  std::size_t name_width = 0;
  for (const Row& row : rows_) {
    if (!row.is_heading) name_width = std::max(name_width, row.name.size());
  }
  const std::size_t value_column = name_width + 4;
  std::string text;
  for (const Row& row : rows_) {
    if (row.is_heading) {
      if (!text.empty()) text += '\n';
      text += fmt::format("{}{}{}\n", colour ? "\x1b[1m" : "", row.name, colour ? "\x1b[0m" : "");
      continue;
    }
    std::string_view name = row.name;
    for (const std::string& line : wrapped(row.value, kWidth - value_column)) {
      text += fmt::format("  {:<{}}  {}\n", std::exchange(name, ""), name_width, line);
    }
  }
  return text;
}

}  // namespace quern::tools
