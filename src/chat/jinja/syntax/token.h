#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quern::jinja {

enum class TokenKind : std::uint8_t {
  data,  ///< text between tags
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  floating,
  op,
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;  ///< of a name, an operator, a string with its escapes resolved, data
  std::int64_t integer = 0;
  double number = 0;
  int line = 1;

  bool is_op(std::string_view which) const { return kind == TokenKind::op && text == which; }
  bool is_name(std::string_view which) const { return kind == TokenKind::name && text == which; }
};

/// Cuts a template into tokens, with trim_blocks and lstrip_blocks on, keep_trailing_newline off.
/// The last token is `end`. Errors: Failure (syntax) with the line.
/// Source: Jinja 3.1, "Template Designer Documentation", White Space Control.
std::vector<Token> tokenize(std::string_view source);

}  // namespace quern::jinja
