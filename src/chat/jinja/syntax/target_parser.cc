// What is assigned to: names, attributes of a namespace, tuples of them.
#include <fmt/format.h>

#include <utility>

#include "chat/jinja/failure.h"
#include "chat/jinja/syntax/expression_parser.h"

namespace quern::jinja {

Target ExpressionParser::name_target() {
  const Token& token = tokens_.current();
  std::string name = tokens_.any_name();
  for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
    if (name == constant) {
      fail_at(token.line, Failure::Kind::syntax, fmt::format("can't assign to '{}'", name));
    }
  }
  Target target;
  target.symbol = symbol(name);
  return target;
}

Target ExpressionParser::element(bool with_namespace) {
  if (tokens_.skip_op("(")) {
    const Nesting nesting(*this);
    Target inner = target({}, false);
    tokens_.expect_op(")");
    return inner;
  }
  Target element = name_target();
  if (with_namespace && tokens_.skip_op(".")) element.attribute = tokens_.any_name();
  return element;
}

Target ExpressionParser::target(std::string_view end_name, bool with_namespace) {
  Target tuple;
  tuple.is_tuple = true;
  bool has_comma = false;
  while (tokens_.current().kind == TokenKind::name || tokens_.current().is_op("(")) {
    if (!end_name.empty() && tokens_.current().is_name(end_name)) break;
    tuple.elements.push_back(element(with_namespace));
    if (!tokens_.skip_op(",")) break;
    has_comma = true;
  }
  if (tuple.elements.empty()) tokens_.refuse("a name to assign to");
  if (!has_comma) return std::move(tuple.elements.front());
  return tuple;
}

}  // namespace quern::jinja
