#include "tokenizer/normalize/precompiled.h"

#include "base/error.h"
#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern {
namespace {

// The fields of a unit. Source: Darts-clone, DoubleArrayUnit.
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1u) != 0; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFFu; }
std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000FFu; }
std::uint32_t offset_of(std::uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }

std::uint32_t read_u32(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return value;
}

/// Characters that stay in the grapheme of the one before.
bool extends_grapheme(char32_t c) {
  constexpr char32_t kZeroWidthNonJoiner = 0x200C;
  constexpr char32_t kZeroWidthJoiner = 0x200D;
  return c >= 0x300 && (is_mark_category(c) || c == kZeroWidthNonJoiner || c == kZeroWidthJoiner);
}

/// The length of the grapheme at `at`; right for those below 6 bytes, which are a character and
/// marks, or a line end.
std::size_t grapheme_length(std::string_view text, std::size_t at) {
  const CodePoint first = code_point_at(text, at);
  std::size_t end = at + first.length_bytes;
  if (first.value == '\r' && end < text.size() && text[end] == '\n') return 2;
  if (first.value < 0x20) return first.length_bytes;  // controls stand alone
  while (end < text.size() && static_cast<unsigned char>(text[end]) >= 0x80) {
    const CodePoint next = code_point_at(text, end);
    if (!extends_grapheme(next.value)) break;
    end += next.length_bytes;
  }
  return end - at;
}

}  // namespace

Charsmap::Charsmap(std::string_view bytes, const std::string& where) {
  const auto refuse = [&](std::string_view reason) {
    fail(ErrorCode::bad_file, "{}: not a charsmap of {} bytes: {}", where, bytes.size(), reason);
  };
  if (bytes.size() < 4) refuse("it has no size");
  const std::size_t trie_bytes = read_u32(bytes, 0);
  if (trie_bytes % 4 != 0 || trie_bytes == 0 || trie_bytes > bytes.size() - 4) {
    refuse(fmt::format("its double array has {} bytes", trie_bytes));
  }
  units_.resize(trie_bytes / 4);
  for (std::size_t i = 0; i < units_.size(); ++i) units_[i] = read_u32(bytes, 4 + 4 * i);
  replacements_ = bytes.substr(4 + trie_bytes);
  if (replacements_.empty() || replacements_.back() != '\0') {
    refuse("its replacements do not end with a zero byte");
  }
  for (std::string_view rest = replacements_; !rest.empty();) {
    const std::string_view replacement = rest.substr(0, rest.find('\0'));
    if (invalid_utf8_at(replacement)) refuse("a replacement is not UTF-8");
    rest.remove_prefix(replacement.size() + 1);
  }
}

Charsmap::Match Charsmap::find(std::string_view text, bool longest) const {
  Match match;
  std::size_t at = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::uint32_t byte = static_cast<unsigned char>(text[i]);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || label_of(units_[at]) != byte) break;
    const std::uint32_t unit = units_[at];
    at ^= offset_of(unit);
    if (at >= units_.size()) break;
    if (!has_leaf(unit)) continue;
    const std::size_t begin = value_of(units_[at]);
    // A replacement begins behind another one; what points elsewhere replaces nothing.
    if (begin >= replacements_.size() ||
        (begin > 0 && replacements_[begin - 1] != '\0' && (replacements_[begin] & 0xC0) == 0x80)) {
      continue;
    }
    match.length_bytes = i + 1;
    match.replacement = std::string_view(replacements_.c_str() + begin);
    if (!longest) break;
  }
  return match;
}

void PrecompiledNormalizer::normalize(NormalizedText& text) const {
  constexpr std::size_t kMaxWholeGrapheme = 6;
  const std::string_view from = text.text;
  std::string out;
  out.reserve(from.size());
  const auto replace = [&](std::string_view part) {
    const Charsmap::Match match = charsmap_.find(part, false);
    if (match.length_bytes == 0) return false;
    out += match.replacement;
    return true;
  };
  for (std::size_t at = 0; at < from.size();) {
    // If the first is removed, the next counts as the text's start: tokenizers lets it take its
    // place.
    const std::string_view grapheme = from.substr(at, grapheme_length(from, at));
    if (grapheme.size() >= kMaxWholeGrapheme || !replace(grapheme)) {
      for_each_code_point(grapheme, [&](char32_t, std::size_t begin, std::size_t length) {
        const std::string_view part = grapheme.substr(begin, length);
        if (!replace(part)) out += part;
      });
    }
    at += grapheme.size();
  }
  text.text = std::move(out);
}

}  // namespace quern
