#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "quern/text.h"

namespace quern {

enum class Utf8Status : std::uint8_t {
  whole,       ///< a well-formed sequence
  broken,      ///< bytes that no continuation can make valid
  incomplete,  ///< the text ends within a sequence that is valid so far
};

/// The first code point of a text and its length in bytes. An ill-formed sequence is a "maximal
/// subpart" in Unicode's terms and decodes to one U+FFFD.
struct Utf8Piece {
  Utf8Status status = Utf8Status::whole;
  std::size_t length_bytes = 0;
};

/// Decodes the first code point of `text`, which must not be empty.
/// Source: the Unicode Standard, table 3-7 (no overlong forms, no surrogates, nothing above
/// U+10FFFF).
Utf8Piece first_utf8_piece(std::string_view text);

/// Appends the UTF-8 form of a code point, which must be below 0x110000.
void append_utf8(char32_t code_point, std::string& out);

/// The code point of a whole sequence as first_utf8_piece() measures it.
char32_t decode_utf8(std::string_view sequence);

}  // namespace quern
