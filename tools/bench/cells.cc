#include "tools/bench/cells.h"

#include <fmt/format.h>

#include "quern/limits.h"
#include "quern/text.h"
#include "tools/cli/numbers.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::vector<int> parse_batch_sizes(const std::string& option, std::string_view text) {
  const std::string place = fmt::format("{} {}", option, quoted_name(text));
  std::vector<int> sizes;
  for (const std::string_view part : split(text, ';')) {
    sizes.push_back(parse_integer(place, part, 1, kMaxSeqs));
  }
  return sizes;
}

std::vector<Lengths> parse_lengths(const std::string& option, std::string_view text) {
  const std::string place = fmt::format("{} {}", option, quoted_name(text));
  std::vector<Lengths> lengths;
  for (const std::string_view part : split(text, ';')) {
    const std::vector<std::string_view> numbers = split(part, ',');
    if (numbers.size() != 2) {
      usage_error("{}: expected pairs such as 64,20;128,20, got {}", place, quoted_name(part));
    }
    lengths.push_back({parse_integer(place, numbers[0], 1, kMaxTokens),
                       parse_integer(place, numbers[1], 1, kMaxTokens)});
  }
  return lengths;
}

std::vector<BenchCell> all_cells(const std::vector<int>& batch_sizes,
                                 const std::vector<Lengths>& lengths) {
  std::vector<BenchCell> cells;
  for (const Lengths& length : lengths) {
    for (const int batch_size : batch_sizes) {
      cells.push_back({batch_size, length.input_len, length.output_len});
    }
  }
  return cells;
}

}  // namespace quern::tools
