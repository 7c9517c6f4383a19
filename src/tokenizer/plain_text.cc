#include "tokenizer/plain_text.h"

#include <algorithm>
#include <cstdint>
#include <map>

#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern {

bool PlainText::is_control(const AddedToken& token) const {
  if (token.special) return true;
  if (options_.control_text.find(token.content) == std::string_view::npos) return false;
  bool is_space = true;
  for_each_code_point(token.content, [&](char32_t c, std::size_t, std::size_t) {
    is_space = is_space && is_white_space(c);
  });
  return !is_space;
}

bool PlainText::touches(std::size_t begin, std::size_t end) const {
  const auto ranges = options_.plain_ranges;
  const auto it = std::upper_bound(ranges.begin(), ranges.end(), begin,
                                   [](std::size_t at, const TextRange& r) { return at < r.end; });
  return it != ranges.end() && it->begin < end;
}

AddedTokens::IsPlain PlainText::within(std::string_view piece) const {
  if (options_.plain_ranges.empty()) return nullptr;
  return [this, first = offset_of(piece)](const AddedToken& token, std::size_t begin,
                                          std::size_t end) {
    return touches(first + begin, first + end) && is_control(token);
  };
}

AddedTokens::IsPlain PlainText::within_normalized(std::string_view piece) const {
  const std::size_t first = offset_of(piece);
  if (options_.plain_ranges.empty() || !touches(first, first + piece.size())) return nullptr;
  const auto find_out = [this, piece, first](const AddedToken& token) {
    if (!is_control(token)) return false;
    std::size_t at = piece.find(token.content);
    if (at == std::string_view::npos) return true;  // normalization made it
    for (; at != std::string_view::npos; at = piece.find(token.content, at + 1)) {
      if (touches(first + at, first + at + token.content.size())) return true;
    }
    return false;
  };
  // Once for each token, so that time stays linear.
  return [find_out, known = std::map<std::int32_t, bool>()](const AddedToken& token, std::size_t,
                                                            std::size_t) mutable {
    const auto it = known.find(token.id);
    if (it != known.end()) return it->second;
    return known.emplace(token.id, find_out(token)).first->second;
  };
}

}  // namespace quern
