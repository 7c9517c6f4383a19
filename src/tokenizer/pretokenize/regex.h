#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace quern {

/// A pattern of a tokenizer file, compiled by PCRE2 for UTF-8 with Unicode properties. Immutable:
/// threads may share it.
class Regex {
 public:
  enum class Syntax { pattern, literal };

  /// Patterns are written for Oniguruma. What PCRE2 reads in another way is translated (`\s`) or
  /// refused. Errors: unsupported naming `where`, the pattern and the place.
  Regex(const std::string& pattern, Syntax syntax, const std::string& where);

  using OnPiece = std::function<void(std::string_view piece, bool is_match)>;
  /// Calls `on_piece` for every match and every gap between matches, in order; together they are
  /// `text`, which must be well-formed UTF-8. Empty pieces are left out. Errors: invalid_argument
  /// when matching needs more steps or memory than PCRE2 allows, naming the byte.
  void split(std::string_view text, const OnPiece& on_piece) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
  std::string where_;
};

}  // namespace quern
