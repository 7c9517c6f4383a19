#pragma once

#include <cstdint>

namespace quern {

/// The Unicode Character Database's tables that tokenizers need. Versions: generate_tables.py.

/// General_Category by its usual abbreviations, in the order of its groups.
enum class Category : std::uint8_t {
  lu,
  ll,
  lt,
  lm,
  lo,  // letters
  mn,
  mc,
  me,  // marks
  nd,
  nl,
  no,  // numbers
  pc,
  pd,
  ps,
  pe,
  pi,
  pf,
  po,  // punctuation
  sm,
  sc,
  sk,
  so,  // symbols
  zs,
  zl,
  zp,  // separators
  cc,
  cf,
  cs,
  co,
  cn,  // others; cn is not assigned
};

Category category_of(char32_t c);

inline bool is_letter(char32_t c) { return category_of(c) <= Category::lo; }
inline bool is_number(char32_t c) {
  const Category category = category_of(c);
  return category >= Category::nd && category <= Category::no;
}
inline bool is_mark_category(char32_t c) {
  const Category category = category_of(c);
  return category >= Category::mn && category <= Category::me;
}

/// White_Space.
constexpr bool is_white_space(char32_t c) {
  if (c < 0x85) return c == ' ' || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/// What `\w` means to Rust's regex (UTS #18): alphabetic characters, marks, decimal numbers,
/// connectors and joiners.
bool is_word_character(char32_t c);

/// What Hugging Face's Punctuation and BertPreTokenizer cut at: ASCII's punctuation and symbols,
/// and category P.
bool is_punctuation(char32_t c);

/// Whether Unicode 8.0 has the character: of others BertNormalizer knows nothing.
bool is_in_unicode_8(char32_t c);

/// What StripAccents removes.
bool is_mark(char32_t c);

/// Lowercase, character by character; U+0130 alone has two ("i" and U+0307), of which this is the
/// first.
char32_t lowercase_of(char32_t c);

/// Canonical_Combining_Class.
std::uint8_t combining_class_of(char32_t c);

/// A character that Unicode 9.0 has not, and that the normal forms of newer versions change or
/// move.
bool is_newer_than_normal_forms_9(char32_t c);

}  // namespace quern
