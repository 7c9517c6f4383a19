// Operands: names, constants, tuples, lists, dicts.
#include <utility>

#include "chat/jinja/syntax/expression_parser.h"

namespace quern::jinja {

ExprPtr ExpressionParser::primary() {
  const Token& token = tokens_.current();
  if (token.kind == TokenKind::name) return name_or_constant();
  if (token.kind == TokenKind::string) return string_literal();
  if (token.kind == TokenKind::integer || token.kind == TokenKind::floating) {
    ExprPtr expr = make(ExprKind::literal, token.line);
    expr->value =
        token.kind == TokenKind::integer ? Value::of(token.integer) : Value::of(token.number);
    tokens_.next();
    return expr;
  }
  if (tokens_.skip_op("(")) {
    ExprPtr expr = tuple(true, {}, true);
    tokens_.expect_op(")");
    return expr;
  }
  if (token.is_op("[")) return list();
  if (token.is_op("{")) return dict();
  tokens_.refuse("an expression");
}

ExprPtr ExpressionParser::name_or_constant() {
  const Token& token = tokens_.next();
  const std::string& name = token.text;
  ExprPtr expr = make(ExprKind::literal, token.line);
  if (name == "true" || name == "True") {
    expr->value = Value::of(true);
  } else if (name == "false" || name == "False") {
    expr->value = Value::of(false);
  } else if (name != "none" && name != "None") {
    expr->kind = ExprKind::name;
    expr->symbol = symbol(name);
    for (MacroNames* macro : macros_) {
      macro->caller = macro->caller || name == "caller";
      macro->varargs = macro->varargs || name == "varargs";
      macro->kwargs = macro->kwargs || name == "kwargs";
    }
  }
  return expr;
}

ExprPtr ExpressionParser::string_literal() {
  ExprPtr expr = make(ExprKind::literal, tokens_.current().line);
  std::string text;
  while (tokens_.current().kind == TokenKind::string) text += tokens_.next().text;
  template_.literals.push_back(text);
  expr->owned = std::make_unique<String>(Text(std::move(text)));
  expr->value = Value::of(Kind::string, expr->owned.get());
  return expr;
}

bool ExpressionParser::is_tuple_end(std::string_view end_name) const {
  const Token& token = tokens_.current();
  return token.kind == TokenKind::variable_end || token.kind == TokenKind::block_end ||
         token.is_op(")") || (!end_name.empty() && token.is_name(end_name));
}

ExprPtr ExpressionParser::tuple(bool with_conditional, std::string_view end_name,
                                bool in_parentheses) {
  ExprPtr expr = make(ExprKind::tuple, tokens_.current().line);
  bool is_tuple = false;
  while (!is_tuple_end(end_name)) {
    expr->children.push_back(expression(with_conditional));
    if (!tokens_.skip_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!expr->children.empty()) return std::move(expr->children.front());
    if (!in_parentheses) tokens_.refuse("an expression");
  }
  return finish(std::move(expr));
}

ExprPtr ExpressionParser::list() {
  ExprPtr expr = make(ExprKind::list, tokens_.next().line);
  while (!tokens_.current().is_op("]")) {
    if (!expr->children.empty()) tokens_.expect_op(",");
    if (tokens_.current().is_op("]")) break;
    expr->children.push_back(expression());
  }
  tokens_.expect_op("]");
  return finish(std::move(expr));
}

ExprPtr ExpressionParser::dict() {
  ExprPtr expr = make(ExprKind::dict, tokens_.next().line);
  while (!tokens_.current().is_op("}")) {
    if (!expr->children.empty()) tokens_.expect_op(",");
    if (tokens_.current().is_op("}")) break;
    expr->children.push_back(expression());
    tokens_.expect_op(":");
    expr->children.push_back(expression());
  }
  tokens_.expect_op("}");
  return finish(std::move(expr));
}

}  // namespace quern::jinja
