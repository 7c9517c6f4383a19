#include "tools/cli/numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "quern/text.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

[[noreturn]] void reject(const std::string& option, std::string_view text,
                         std::string_view expected) {
  usage_error("{}: expected {}, got {}", option, expected, quoted_name(text));
}

template <typename T>
std::optional<T> whole_number(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return value;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::optional<double> unit_bytes(std::string_view unit) {
  constexpr double kKibi = 1024.0;
  constexpr double kKilo = 1000.0;
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"", 1.0},
      {"B", 1.0},
      {"K", kKibi},
      {"KiB", kKibi},
      {"KB", kKilo},
      {"M", kKibi * kKibi},
      {"MiB", kKibi * kKibi},
      {"MB", kKilo * kKilo},
      {"G", kKibi * kKibi * kKibi},
      {"GiB", kKibi * kKibi * kKibi},
      {"GB", kKilo * kKilo * kKilo},
      {"T", kKibi * kKibi * kKibi * kKibi},
      {"TiB", kKibi * kKibi * kKibi * kKibi},
      {"TB", kKilo * kKilo * kKilo * kKilo},
  };
  const auto* found = std::find_if(std::begin(kUnits), std::end(kUnits),
                                   [&](const auto& entry) { return entry.first == unit; });
  if (found == std::end(kUnits)) return std::nullopt;
  return found->second;
}

}  // namespace

int parse_integer(const std::string& option, std::string_view text, int low, int high) {
  const std::optional<int> value = whole_number<int>(text);
  if (value && *value >= low && *value <= high) return *value;
  if (high == std::numeric_limits<int>::max()) {
    reject(option, text, fmt::format("an integer of at least {}", low));
  }
  reject(option, text, fmt::format("an integer from {} to {}", low, high));
}

std::uint64_t parse_unsigned(const std::string& option, std::string_view text) {
  const auto value = whole_number<std::uint64_t>(text);
  if (!value) reject(option, text, "an integer from 0 to 18446744073709551615");
  return *value;
}

std::optional<float> float_in_range(double value, const NumberRange& range) {
  const bool above_low = range.low_included ? value >= range.low : value > range.low;
  if (!std::isfinite(value) || !above_low || value > range.high) return std::nullopt;
  const auto narrow = static_cast<float>(value);
  // A number that float32 would turn into 0 or infinity would silently mean something else.
  const bool representable = std::isfinite(narrow) && (narrow != 0.0F || value == 0.0);
  return representable ? std::optional(narrow) : std::nullopt;
}

float parse_float(const std::string& option, std::string_view text, const NumberRange& range) {
  const std::optional<double> value = whole_number<double>(text);
  const auto number = value ? float_in_range(*value, range) : std::nullopt;
  if (!number) reject(option, text, range.expected);
  return *number;
}

std::optional<std::vector<std::int32_t>> read_ids(std::string_view text) {
  std::vector<std::int32_t> ids;
  while (true) {
    const std::size_t comma = text.find(',');
    const auto id = whole_number<std::int32_t>(trimmed(text.substr(0, comma)));
    if (!id || *id < 0) return std::nullopt;
    ids.push_back(*id);
    if (comma == std::string_view::npos) return ids;
    text.remove_prefix(comma + 1);
  }
}

std::vector<std::int32_t> parse_ids(const std::string& option, std::string_view text) {
  auto ids = read_ids(text);
  if (!ids) reject(option, text, kExpectedIds);
  return *std::move(ids);
}

std::uint64_t parse_bytes(const std::string& option, std::string_view text) {
  constexpr std::string_view kExpected = "a size such as 512MiB, 1.5GB or 1073741824";
  const std::size_t number_end = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto number = whole_number<double>(text.substr(0, number_end));
  const auto unit = unit_bytes(trimmed(text.substr(number_end)));
  if (!number || !unit) reject(option, text, kExpected);
  const double bytes = *number * *unit;
  constexpr double kTooMany = 0x1p63;
  if (!(bytes >= 1.0 && bytes < kTooMany)) reject(option, text, kExpected);
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace quern::tools
