#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tokenizer/pretokenize/pattern.h"

namespace quern {

/// A pattern of a tokenizer file, compiled by PCRE2 for UTF-8 with Unicode properties.
/// Backtracking, recursion and memory of one match are limited, the work for a text by
/// its budget.
class Regex final : public Pattern {
 public:
  /// Patterns are written for Oniguruma. What PCRE2 reads in another way is translated (`\s`) or
  /// refused. Errors: unsupported naming `where`, the pattern and the place.
  Regex(const std::string& pattern, const std::string& where);

  /// An empty match cuts, too. Errors: invalid_argument when matching goes beyond a limit, naming
  /// the byte.
  void find_matches(std::string_view text, MatchBudget& budget,
                    const OnMatch& on_match) const override;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
  std::string where_;
};

}  // namespace quern
