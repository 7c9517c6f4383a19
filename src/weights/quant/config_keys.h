#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/json/json.h"

namespace quern::quant {

inline constexpr std::int64_t kMaxGroup = std::int64_t{1} << 30;

/// Refuses a value that is well-formed and not supported. Errors: unsupported naming file, key,
/// value and what is expected.
[[noreturn]] void refuse(const JsonObject& object, std::string_view key, std::string_view value,
                         std::string_view expected);

/// The bits of a number: 4 or 8. Errors: unsupported for others.
int read_bits(const JsonObject& object, std::string_view key, std::string_view expected = "4 or 8");

/// A group size: -1 (all inputs, which becomes 0) or at least 1.
std::int64_t read_group_size(const JsonObject& object, std::string_view key, std::int64_t absent);

/// A list of strings; empty when absent.
std::vector<std::string> read_strings(const JsonObject& object, std::string_view key);

}  // namespace quern::quant
