#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quern {

/// The byte-level alphabet of GPT-2: every byte maps to a printable character in
/// vocabularies ("Ġ" for a space). Source: `bytes_to_unicode` in GPT-2's encoder.py.
std::string symbols_from_bytes(std::string_view bytes);

/// The bytes of `symbols`, or nothing when one of its characters maps to no byte.
std::optional<std::string> bytes_from_symbols(std::string_view symbols);

}  // namespace quern
