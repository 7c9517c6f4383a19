#include "chat/jinja/syntax/token_stream.h"

#include <fmt/format.h>

#include "chat/jinja/failure.h"
#include "quern/text.h"

namespace quern::jinja {
namespace {

std::string described(const Token& token) {
  switch (token.kind) {
    case TokenKind::data:
      return "template data";
    case TokenKind::variable_begin:
      return "'{{'";
    case TokenKind::variable_end:
      return "'}}'";
    case TokenKind::block_begin:
      return "'{%'";
    case TokenKind::block_end:
      return "'%}'";
    case TokenKind::end:
      return "the end of the template";
    case TokenKind::string:
      return "the string " + quoted_name(token.text);
    default:
      return quoted_name(token.text);
  }
}

}  // namespace

const Token& TokenStream::expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind) refuse(what);
  return next();
}

void TokenStream::expect_op(std::string_view op) {
  if (!skip_op(op)) refuse(fmt::format("'{}'", op));
}

void TokenStream::expect_name(std::string_view name) {
  if (!skip_name(name)) refuse(fmt::format("'{}'", name));
}

std::string TokenStream::any_name() { return expect(TokenKind::name, "a name").text; }

void TokenStream::refuse(std::string_view expected) const {
  fail_at(current().line, Failure::Kind::syntax,
          fmt::format("expected {}, got {}", expected, described(current())));
}

}  // namespace quern::jinja
