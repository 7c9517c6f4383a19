#include "chat/jinja/syntax/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "chat/jinja/failure.h"

namespace quern::jinja {
void ExpressionParser::refuse_depth(int line) {
  fail_at(line, Failure::Kind::limit, fmt::format("nested deeper than {} levels", kMaxSyntaxDepth));
}

Symbol ExpressionParser::symbol(const std::string& name) {
  const auto [it, is_new] =
      template_.symbols.emplace(name, static_cast<Symbol>(template_.names.size()));
  if (is_new) template_.names.push_back(name);
  return it->second;
}

ExprPtr ExpressionParser::make(ExprKind kind, int line) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = line;
  return expr;
}

ExprPtr ExpressionParser::finish(ExprPtr expr) const {
  int depth = 0;
  const auto count = [&](const ExprPtr& child) {
    if (child) depth = std::max(depth, child->depth);
  };
  for (const ExprPtr& child : expr->children) count(child);
  if (expr->arguments) {
    for (const ExprPtr& argument : expr->arguments->positional) count(argument);
    for (const auto& [name, argument] : expr->arguments->named) count(argument);
    count(expr->arguments->spread);
    count(expr->arguments->spread_named);
  }
  expr->depth = depth + 1;
  if (expr->depth > kMaxSyntaxDepth) refuse_depth(expr->line);
  return expr;
}

ExprPtr ExpressionParser::binary(ExprKind kind, int line, ExprPtr left, ExprPtr right,
                                 char op) const {
  ExprPtr expr = make(kind, line);
  expr->op = op;
  expr->children.push_back(std::move(left));
  expr->children.push_back(std::move(right));
  return finish(std::move(expr));
}

ExprPtr ExpressionParser::expression(bool with_conditional) {
  const Nesting nesting(*this);
  return with_conditional ? conditional() : logical_or();
}

ExprPtr ExpressionParser::conditional() {
  const Nesting nesting(*this);
  int line = tokens_.current().line;
  ExprPtr value = logical_or();
  while (tokens_.skip_name("if")) {
    ++num_conditions_;
    ExprPtr expr = make(ExprKind::conditional, line);
    expr->children.push_back(logical_or());
    expr->children.push_back(std::move(value));
    expr->children.push_back(tokens_.skip_name("else") ? conditional() : nullptr);
    --num_conditions_;
    value = finish(std::move(expr));
    line = tokens_.current().line;
  }
  return value;
}

ExprPtr ExpressionParser::logical_or() {
  const int line = tokens_.current().line;
  ExprPtr left = logical_and();
  while (tokens_.skip_name("or")) {
    left = binary(ExprKind::logical_or, line, std::move(left), logical_and());
  }
  return left;
}

ExprPtr ExpressionParser::logical_and() {
  const int line = tokens_.current().line;
  ExprPtr left = logical_not();
  while (tokens_.skip_name("and")) {
    left = binary(ExprKind::logical_and, line, std::move(left), logical_not());
  }
  return left;
}

ExprPtr ExpressionParser::logical_not() {
  if (!tokens_.current().is_name("not")) return comparison();
  const Nesting nesting(*this);
  ExprPtr expr = make(ExprKind::logical_not, tokens_.next().line);
  expr->children.push_back(logical_not());
  return finish(std::move(expr));
}

ExprPtr ExpressionParser::comparison() {
  static constexpr std::pair<std::string_view, Comparison> kOps[] = {
      {"==", Comparison::eq}, {"!=", Comparison::ne}, {"<", Comparison::lt},
      {"<=", Comparison::le}, {">", Comparison::gt},  {">=", Comparison::ge}};
  const int line = tokens_.current().line;
  ExprPtr first = sum();
  ExprPtr expr;
  while (true) {
    Comparison op = Comparison::in;
    const auto* const it = std::find_if(std::begin(kOps), std::end(kOps), [&](const auto& entry) {
      return tokens_.current().is_op(entry.first);
    });
    if (it != std::end(kOps)) {
      op = it->second;
      tokens_.next();
    } else if (tokens_.current().is_name("not") && tokens_.look().is_name("in")) {
      op = Comparison::not_in;
      tokens_.next();
      tokens_.next();
    } else if (!tokens_.skip_name("in")) {
      break;
    }
    if (!expr) {
      expr = make(ExprKind::comparison, line);
      expr->children.push_back(std::move(first));
    }
    expr->comparisons.push_back(op);
    expr->children.push_back(sum());
  }
  return expr ? finish(std::move(expr)) : std::move(first);
}

ExprPtr ExpressionParser::sum() {
  const int line = tokens_.current().line;
  ExprPtr left = concat();
  while (tokens_.current().is_op("+") || tokens_.current().is_op("-")) {
    const char op = tokens_.next().text[0];
    left = binary(ExprKind::arithmetic, line, std::move(left), concat(), op);
  }
  return left;
}

ExprPtr ExpressionParser::concat() {
  const int line = tokens_.current().line;
  ExprPtr first = product();
  if (!tokens_.current().is_op("~")) return first;
  ExprPtr expr = make(ExprKind::concat, line);
  expr->children.push_back(std::move(first));
  while (tokens_.skip_op("~")) expr->children.push_back(product());
  return finish(std::move(expr));
}

ExprPtr ExpressionParser::product() {
  const int line = tokens_.current().line;
  ExprPtr left = power();
  while (true) {
    const Token& token = tokens_.current();
    if (!token.is_op("*") && !token.is_op("/") && !token.is_op("//") && !token.is_op("%")) break;
    const char op = token.text == "//" ? 'f' : token.text[0];
    tokens_.next();
    left = binary(ExprKind::arithmetic, line, std::move(left), power(), op);
  }
  return left;
}

ExprPtr ExpressionParser::power() {
  const int line = tokens_.current().line;
  ExprPtr left = unary();
  while (tokens_.skip_op("**")) {
    left = binary(ExprKind::arithmetic, line, std::move(left), unary(), '^');
  }
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filter) {
  const Nesting nesting(*this);
  const int line = tokens_.current().line;
  ExprPtr expr;
  if (tokens_.current().is_op("-") || tokens_.current().is_op("+")) {
    expr = make(tokens_.next().text == "-" ? ExprKind::negate : ExprKind::plus, line);
    expr->children.push_back(unary(false));
    expr = finish(std::move(expr));
  } else {
    expr = primary();
  }
  expr = postfix(std::move(expr));
  return with_filter ? filters_and_tests(std::move(expr)) : std::move(expr);
}

}  // namespace quern::jinja
