#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/syntax/token.h"

namespace quern::jinja {

/// The tokens of a template, read one by one.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  const Token& next() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool skip_op(std::string_view op) { return skip(current().is_op(op)); }
  bool skip_name(std::string_view name) { return skip(current().is_name(name)); }

  // Errors: syntax, naming what was found.
  const Token& expect(TokenKind kind, std::string_view what);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  std::string any_name();
  /// "expected <expected>, got <the current token>".
  [[noreturn]] void refuse(std::string_view expected) const;

 private:
  bool skip(bool is_there) {
    if (is_there) next();
    return is_there;
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

}  // namespace quern::jinja
