#include "tokenizer/pretokenize/pattern.h"

#include "tokenizer/pretokenize/known_patterns.h"
#include "tokenizer/pretokenize/regex.h"
#include "tokenizer/unicode/code_points.h"

namespace quern {

void CharacterPattern::find_matches(std::string_view text, MatchBudget& /*budget*/,
                                    const OnMatch& on_match) const {
  for_each_code_point(text, [&](char32_t c, std::size_t at, std::size_t length) {
    if (contains_(c)) on_match(at, at + length);
  });
}

std::unique_ptr<Pattern> make_pattern(const std::string& regex, const std::string& where) {
  if (auto known = find_known_pattern(regex)) return known;
  return std::make_unique<Regex>(regex, where);
}

}  // namespace quern
