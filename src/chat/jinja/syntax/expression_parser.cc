#include "chat/jinja/syntax/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/failure.h"
#include "quern/text.h"

namespace quern::jinja {
namespace {

[[noreturn]] void refuse_depth(int line) {
  fail_at(line, Failure::Kind::limit, fmt::format("nested deeper than {} levels", kMaxSyntaxDepth));
}

}  // namespace

/// Holds the recursion of the parser within bounds.
class ExpressionParser::Nesting {
 public:
  explicit Nesting(ExpressionParser& parser) : parser_(parser) {
    if (++parser_.depth_ > kMaxSyntaxDepth) refuse_depth(parser_.tokens_.current().line);
  }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
  ~Nesting() { --parser_.depth_; }

 private:
  ExpressionParser& parser_;
};

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
