// What stands behind an operand: subscripts, calls, filters, tests.
#include <fmt/format.h>

#include <utility>

#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/failure.h"
#include "chat/jinja/syntax/expression_parser.h"
#include "quern/text.h"

namespace quern::jinja {

ExprPtr ExpressionParser::postfix(ExprPtr operand) {
  while (true) {
    const Token& token = tokens_.current();
    if (token.is_op(".") || token.is_op("[")) {
      operand = subscript(std::move(operand));
    } else if (token.is_op("(")) {
      operand = call(std::move(operand));
    } else {
      return operand;
    }
  }
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr operand) {
  while (true) {
    const Token& token = tokens_.current();
    if (token.is_op("|")) {
      operand = filters(std::move(operand));
    } else if (token.is_name("is")) {
      operand = test(std::move(operand));
    } else if (token.is_op("(")) {
      operand = call(std::move(operand));
    } else {
      return operand;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr operand) {
  const Token& token = tokens_.next();
  ExprPtr expr = make(ExprKind::item, token.line);
  expr->children.push_back(std::move(operand));
  if (token.text == ".") {
    const Token& name = tokens_.current();
    if (name.kind == TokenKind::name) {
      expr->kind = ExprKind::attribute;
      expr->text = name.text;
      tokens_.next();
      return finish(std::move(expr));
    }
    if (name.kind != TokenKind::integer) tokens_.refuse("a name or a number");
    ExprPtr index = make(ExprKind::literal, name.line);
    index->value = Value::of(name.integer);
    expr->children.push_back(std::move(index));
    tokens_.next();
    return finish(std::move(expr));
  }
  ExprPtr index = make(ExprKind::tuple, token.line);
  while (!tokens_.current().is_op("]")) {
    if (!index->children.empty()) tokens_.expect_op(",");
    index->children.push_back(subscribed());
  }
  tokens_.expect_op("]");
  if (index->children.size() == 1) index = std::move(index->children.front());
  expr->children.push_back(finish(std::move(index)));
  return finish(std::move(expr));
}

ExprPtr ExpressionParser::subscribed() {
  ExprPtr slice = make(ExprKind::slice, tokens_.current().line);
  slice->children.resize(3);
  const auto is_end = [&] {
    return tokens_.current().is_op(":") || tokens_.current().is_op("]") ||
           tokens_.current().is_op(",");
  };
  if (!tokens_.current().is_op(":")) {
    slice->children[0] = expression();
    if (!tokens_.current().is_op(":")) return std::move(slice->children[0]);
  }
  tokens_.expect_op(":");
  if (!is_end()) slice->children[1] = expression();
  if (tokens_.skip_op(":") && !is_end()) slice->children[2] = expression();
  return finish(std::move(slice));
}

std::unique_ptr<CallArguments> ExpressionParser::arguments() {
  const int line = tokens_.current().line;
  auto arguments = std::make_unique<CallArguments>();
  const auto ensure = [&](bool holds) {
    if (!holds) {
      fail_at(line, Failure::Kind::syntax, "invalid syntax for function call expression");
    }
  };
  tokens_.expect_op("(");
  bool is_first = true;
  while (!tokens_.current().is_op(")")) {
    if (!is_first) {
      tokens_.expect_op(",");
      if (tokens_.current().is_op(")")) break;
    }
    is_first = false;
    if (tokens_.skip_op("*")) {
      ensure(!arguments->spread && !arguments->spread_named);
      arguments->spread = expression();
    } else if (tokens_.skip_op("**")) {
      ensure(!arguments->spread_named);
      arguments->spread_named = expression();
    } else if (tokens_.current().kind == TokenKind::name && tokens_.look().is_op("=")) {
      ensure(!arguments->spread_named);
      std::string name = tokens_.next().text;
      tokens_.next();
      arguments->named.emplace_back(std::move(name), expression());
    } else {
      ensure(!arguments->spread && !arguments->spread_named && arguments->named.empty());
      arguments->positional.push_back(expression());
    }
  }
  tokens_.expect_op(")");
  return arguments;
}

ExprPtr ExpressionParser::call(ExprPtr callee) {
  ExprPtr expr = make(ExprKind::call, tokens_.current().line);
  expr->children.push_back(std::move(callee));
  expr->arguments = arguments();
  return finish(std::move(expr));
}

void ExpressionParser::check_is_known(const char* what, bool is_known, bool is_jinjas,
                                      const std::string& name, int line) const {
  if (is_known || num_conditions_ > 0) return;
  if (is_jinjas) {
    fail_at(line, Failure::Kind::unsupported,
            fmt::format("the {} {} is not supported", what, quoted_name(name)));
  }
  fail_at(line, Failure::Kind::syntax, fmt::format("No {} named {}.", what, quoted_name(name)));
}

ExprPtr ExpressionParser::filters(ExprPtr operand, bool is_named) {
  while (is_named || tokens_.current().is_op("|")) {
    if (!is_named) tokens_.next();
    is_named = false;
    ExprPtr expr = make(ExprKind::filter, tokens_.current().line);
    expr->text = tokens_.any_name();
    while (tokens_.skip_op(".")) expr->text.append(1, '.').append(tokens_.any_name());
    expr->children.push_back(std::move(operand));
    if (tokens_.current().is_op("(")) expr->arguments = arguments();
    check_is_known("filter", find_filter(expr->text) != nullptr, is_other_filter(expr->text),
                   expr->text, expr->line);
    operand = finish(std::move(expr));
  }
  return operand;
}

ExprPtr ExpressionParser::test(ExprPtr operand) {
  ExprPtr expr = make(ExprKind::test, tokens_.next().line);
  const bool is_negated = tokens_.skip_name("not");
  expr->text = tokens_.any_name();
  while (tokens_.skip_op(".")) expr->text.append(1, '.').append(tokens_.any_name());
  expr->children.push_back(std::move(operand));
  const Token& token = tokens_.current();
  const bool begins_argument =
      token.kind == TokenKind::string || token.kind == TokenKind::integer ||
      token.kind == TokenKind::floating || token.is_op("[") || token.is_op("{") ||
      (token.kind == TokenKind::name && token.text != "else" && token.text != "or" &&
       token.text != "and");
  if (token.is_op("(")) {
    expr->arguments = arguments();
  } else if (begins_argument) {
    if (token.is_name("is")) {
      fail_at(token.line, Failure::Kind::syntax, "You cannot chain multiple tests with is");
    }
    const Nesting nesting(*this);
    expr->arguments = std::make_unique<CallArguments>();
    expr->arguments->positional.push_back(postfix(primary()));
  }
  check_is_known("test", find_test(expr->text) != nullptr, false, expr->text, expr->line);
  if (!is_negated) return finish(std::move(expr));
  ExprPtr negated = make(ExprKind::logical_not, expr->line);
  negated->children.push_back(finish(std::move(expr)));
  return finish(std::move(negated));
}

}  // namespace quern::jinja
