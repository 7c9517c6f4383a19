#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quern::tools {

// Strict readings of option values: the whole text must be the number, and in range. Every error is
// a UsageError that names the option, the value and what was expected.

/// A decimal integer in [low, high].
int parse_integer(const std::string& option, std::string_view text, int low,
                  int high = std::numeric_limits<int>::max());

/// A decimal integer from 0 to 2^64 - 1.
std::uint64_t parse_unsigned(const std::string& option, std::string_view text);

/// The numbers that an option takes, all finite.
struct NumberRange {
  double low = 0;
  double high = 0;
  bool low_included = true;
  const char* expected = "";  ///< "a number in (0, 1]"
};
inline constexpr double kAnyNumber = std::numeric_limits<double>::infinity();

// What sampling parameters may be, on the command line and in prompt records.
inline constexpr NumberRange kTemperatureRange{0, kAnyNumber, true, "a number of at least 0"};
inline constexpr NumberRange kTopPRange{0, 1, false, "a number in (0, 1]"};
inline constexpr NumberRange kPositiveRange{0, kAnyNumber, false, "a number above 0"};
inline constexpr NumberRange kFiniteRange{-kAnyNumber, kAnyNumber, true, "a finite number"};
inline constexpr NumberRange kMinPRange{0, 1, true, "a number in [0, 1]"};
inline constexpr NumberRange kNotNegativeRange{0, kAnyNumber, true, "a number of at least 0"};
inline constexpr NumberRange kFromOneRange{1, kAnyNumber, true, "a number of at least 1"};
/// Without its upper end: the largest float32 below 1.
inline constexpr NumberRange kCutoffRange{0, 0.99999994, true, "a number in [0, 1)"};

/// The number as float32, or nothing where the range or float32 does not have it.
std::optional<float> float_in_range(double value, const NumberRange& range);

/// A decimal number, perhaps with an exponent, that float32 can hold.
float parse_float(const std::string& option, std::string_view text, const NumberRange& range);

inline constexpr std::string_view kExpectedIds =
    "token ids such as 1,2,3, each from 0 to 2147483647";
/// "1,2,3": token ids, at least one, each from 0 to 2^31 - 1; blanks around them are skipped.
/// Nothing for another text.
std::optional<std::vector<std::int32_t>> read_ids(std::string_view text);
std::vector<std::int32_t> parse_ids(const std::string& option, std::string_view text);

/// "512MiB", "1.5GB", "4G" (as GiB) or plain bytes; at least 1 byte.
std::uint64_t parse_bytes(const std::string& option, std::string_view text);

}  // namespace quern::tools
