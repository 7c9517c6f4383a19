#include "tokenizer/pretokenize/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"

namespace quern {

namespace {

std::vector<utf8proc_int32_t> decompose(std::string_view text) {
  constexpr std::size_t kMaxDecomposed = 4;  // the longest canonical decomposition
  std::vector<utf8proc_int32_t> code_points;
  code_points.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = first_utf8_piece(text).length_bytes;
    std::array<utf8proc_int32_t, kMaxDecomposed> parts{};
    int unused_boundary = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(
        static_cast<utf8proc_int32_t>(decode_utf8(text.substr(0, length))), parts.data(),
        kMaxDecomposed, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE),
        &unused_boundary);
    QUERN_CHECK(count > 0 && count <= utf8proc_ssize_t(kMaxDecomposed));
    code_points.insert(code_points.end(), parts.begin(), parts.begin() + count);
    text.remove_prefix(length);
  }
  return code_points;
}

/// Canonical order: runs of combining marks by their class. utf8proc's own sorting takes quadratic
/// time.
void sort_marks(std::vector<utf8proc_int32_t>& code_points) {
  const auto combining_class = [](utf8proc_int32_t code_point) {
    return utf8proc_get_property(code_point)->combining_class;
  };
  for (auto begin = code_points.begin(); begin != code_points.end();) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, code_points.end(), [&](utf8proc_int32_t code_point) {
      return combining_class(code_point) == 0;
    });
    std::stable_sort(begin, end, [&](utf8proc_int32_t a, utf8proc_int32_t b) {
      return combining_class(a) < combining_class(b);
    });
    begin = end;
  }
}

}  // namespace

bool is_white_space(char32_t code_point) {
  return std::any_of(kWhiteSpace.begin(), kWhiteSpace.end(), [&](const auto& range) {
    return range.first <= code_point && code_point <= range.second;
  });
}

bool is_word_character(char32_t code_point) {
  constexpr char32_t kZeroWidthNonJoiner = 0x200C;
  constexpr char32_t kZeroWidthJoiner = 0x200D;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return code_point == kZeroWidthNonJoiner || code_point == kZeroWidthJoiner;
  }
}

std::string normalize_nfc(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(),
                                 [](char byte) { return static_cast<unsigned char>(byte) < 0x80; });
  if (ascii) return std::string(text);
  std::vector<utf8proc_int32_t> code_points = decompose(text);
  sort_marks(code_points);
  const utf8proc_ssize_t size =
      utf8proc_normalize_utf32(code_points.data(), utf8proc_ssize_t(code_points.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  QUERN_CHECK(size >= 0, "utf8proc: {}", utf8proc_errmsg(size));
  std::string normalized;
  normalized.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < size; ++i) {
    append_utf8(static_cast<char32_t>(code_points[static_cast<std::size_t>(i)]), normalized);
  }
  return normalized;
}

}  // namespace quern
