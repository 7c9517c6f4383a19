#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/text/utf8.h"

namespace quern {

struct CodePoint {
  char32_t value;
  std::size_t length_bytes;
};

/// The code point that begins at `at`, of well-formed UTF-8. Not checked, for the loops over text.
inline CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[at + i]));
  };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xE0) return {(first & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (first < 0xF0) return {(first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F),
          4};
}

/// The code point that ends in front of `end`, which must not be 0.
inline CodePoint code_point_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0u) == 0x80u) --begin;
  return code_point_at(text, begin);
}

/// Calls `take(code_point, offset, length)` for each code point of well-formed UTF-8.
template <typename Take>
void for_each_code_point(std::string_view text, const Take& take) {
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    take(c.value, at, c.length_bytes);
    at += c.length_bytes;
  }
}

inline bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

}  // namespace quern
