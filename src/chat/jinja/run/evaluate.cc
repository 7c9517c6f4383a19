#include <fmt/format.h>

#include <utility>

#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/run/interpreter.h"
#include "chat/jinja/value/number.h"
#include "chat/jinja/value/percent_format.h"
#include "chat/jinja/value/print.h"
#include "quern/text.h"

namespace quern::jinja {
namespace {

constexpr int kMaxEvaluationDepth = 1000;

const char* op_name(char op) {
  switch (op) {
    case '+':
      return "+";
    case '-':
      return "-";
    case '*':
      return "*";
    case '/':
      return "/";
    case 'f':
      return "//";
    case '%':
      return "%";
    default:
      return "** or pow()";
  }
}

[[noreturn]] void refuse_operands(char op, const Value& a, const Value& b) {
  if (a.is(Kind::undefined)) undefined_error(a);
  if (b.is(Kind::undefined)) undefined_error(b);
  type_error(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", op_name(op),
                         type_name(a), type_name(b)));
}

bool is_sequence(const Value& value) {
  return value.is(Kind::string) || value.is(Kind::list) || value.is(Kind::tuple);
}

}  // namespace

Value Interpreter::evaluate(const Expr& expr) {
  if (depth_ >= kMaxEvaluationDepth) {
    fail_at(expr.line, Failure::Kind::limit,
            fmt::format("stopped: it recurses deeper than {} levels", kMaxEvaluationDepth));
  }
  ++depth_;
  heap_.step();
  line_ = expr.line;
  Value value = evaluate_node(expr);
  --depth_;
  return value;
}

Value Interpreter::evaluate_node(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::literal:
      return expr.value;
    case ExprKind::name:
      return name(expr);
    case ExprKind::list:
    case ExprKind::tuple: {
      std::vector<Value> values;
      values.reserve(expr.children.size());
      for (const ExprPtr& child : expr.children) values.push_back(evaluate(*child));
      return heap_.list(std::move(values), expr.kind == ExprKind::list ? Kind::list : Kind::tuple);
    }
    case ExprKind::dict: {
      const Value dict = heap_.dict();
      for (std::size_t i = 0; i + 1 < expr.children.size(); i += 2) {
        const Value key = evaluate(*expr.children[i]);
        heap_.set(dict.dict(), key, evaluate(*expr.children[i + 1]));
      }
      return dict;
    }
    case ExprKind::attribute: {
      const Value object = evaluate(*expr.children[0]);
      line_ = expr.line;
      return attribute(object, expr.text);
    }
    case ExprKind::item: {
      const Value object = evaluate(*expr.children[0]);
      const Value key = evaluate(*expr.children[1]);
      line_ = expr.line;
      return item(object, key);
    }
    case ExprKind::slice:
      return slice_of(expr);
    case ExprKind::call:
      return call(expr, nullptr);
    case ExprKind::filter: {
      const Value operand = evaluate(*expr.children[0]);
      Arguments given = arguments(expr.arguments.get());
      line_ = expr.line;
      return filter(expr.text, operand, given);
    }
    case ExprKind::test: {
      const Value operand = evaluate(*expr.children[0]);
      Arguments given = arguments(expr.arguments.get());
      line_ = expr.line;
      return Value::of(test(expr.text, operand, given));
    }
    case ExprKind::negate:
    case ExprKind::plus: {
      const Value operand = evaluate(*expr.children[0]);
      if (operand.is(Kind::undefined)) undefined_error(operand);
      if (!operand.is_number()) {
        type_error(fmt::format("bad operand type for unary {}: '{}'",
                               expr.kind == ExprKind::negate ? '-' : '+', type_name(operand)));
      }
      if (operand.is(Kind::floating)) {
        return Value::of(expr.kind == ExprKind::negate ? -operand.number() : operand.number());
      }
      return calculate(expr.kind == ExprKind::negate ? '-' : '+', Value::of(std::int64_t{0}),
                       operand);
    }
    case ExprKind::logical_not:
      return Value::of(!is_true(evaluate(*expr.children[0])));
    case ExprKind::logical_and: {
      const Value left = evaluate(*expr.children[0]);
      return is_true(left) ? evaluate(*expr.children[1]) : left;
    }
    case ExprKind::logical_or: {
      const Value left = evaluate(*expr.children[0]);
      return is_true(left) ? left : evaluate(*expr.children[1]);
    }
    case ExprKind::arithmetic:
      return arithmetic(expr);
    case ExprKind::concat:
      return concat(expr);
    case ExprKind::comparison:
      return Value::of(comparison(expr));
    case ExprKind::conditional:
      if (is_true(evaluate(*expr.children[0]))) return evaluate(*expr.children[1]);
      if (expr.children[2]) return evaluate(*expr.children[2]);
      return heap_.undefined(
          fmt::format("the inline if-expression on line {} evaluated to false and no else section "
                      "was defined.",
                      expr.line));
  }
  return {};
}

Value Interpreter::name(const Expr& expr) {
  for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    heap_.step(scope->variables.size() / 8);
    if (const Value* found = scope->find(expr.symbol)) return *found;
  }
  if (root_has_[expr.symbol]) return root_values_[expr.symbol];
  return heap_.undefined(fmt::format("{} is undefined", quoted_name(template_.names[expr.symbol])));
}

Value Interpreter::add(const Value& a, const Value& b) {
  if (a.is(Kind::string) && b.is(Kind::string)) {
    heap_.charge(a.text().cost() + b.text().cost());
    Text text = a.text();
    text.append(b.text());
    return heap_.string(std::move(text));
  }
  if (a.kind() == b.kind() && (a.is(Kind::list) || a.is(Kind::tuple))) {
    std::vector<Value> values = a.list().items;
    values.insert(values.end(), b.list().items.begin(), b.list().items.end());
    return heap_.list(std::move(values), a.kind());
  }
  if (a.is_number() && b.is_number()) return calculate('+', a, b);
  if (b.is(Kind::undefined)) undefined_error(b);
  if (a.is(Kind::string)) {
    type_error(fmt::format("can only concatenate str (not \"{}\") to str", type_name(b)));
  }
  if (a.is(Kind::list) || a.is(Kind::tuple)) {
    type_error(
        fmt::format("can only concatenate {0} (not \"{1}\") to {0}", type_name(a), type_name(b)));
  }
  refuse_operands('+', a, b);
}

Value repeated(Heap& heap, const Value& sequence, std::int64_t count) {
  const auto times = static_cast<std::size_t>(count < 0 ? 0 : count);
  const auto check = [&](std::size_t cost) {
    if (times > 0 && cost > heap.limits().max_bytes / times) {
      heap.charge(heap.limits().max_bytes + 1);
    }
    heap.charge(cost * times);
  };
  if (sequence.is(Kind::string)) {
    check(sequence.text().cost());
    Text text;
    for (std::size_t i = 0; i < times && !sequence.text().empty(); ++i) {
      text.append(sequence.text());
    }
    return heap.string(std::move(text));
  }
  const std::vector<Value>& items = sequence.list().items;
  check(items.size() * sizeof(Value));
  std::vector<Value> values;
  for (std::size_t i = 0; i < times && !items.empty(); ++i) {
    values.insert(values.end(), items.begin(), items.end());
  }
  return heap.list(std::move(values), sequence.kind());
}

Value Interpreter::arithmetic(const Expr& expr) {
  const Value a = evaluate(*expr.children[0]);
  const Value b = evaluate(*expr.children[1]);
  line_ = expr.line;
  if (expr.op == '+') return add(a, b);
  if (a.is_number() && b.is_number()) return calculate(expr.op, a, b);
  if (expr.op == '%' && a.is(Kind::string)) {
    return heap_.string(percent_format(heap_, a.text(), b));
  }
  if (expr.op == '*') {
    if (is_sequence(a) && b.is_integral()) return repeated(heap_, a, b.integer());
    if (is_sequence(b) && a.is_integral()) return repeated(heap_, b, a.integer());
  }
  refuse_operands(expr.op, a, b);
}

Value Interpreter::concat(const Expr& expr) {
  Text text;
  for (const ExprPtr& child : expr.children) {
    const Value value = evaluate(*child);
    if (value.is(Kind::string)) heap_.charge(value.text().cost());
    print(heap_, value, text);
  }
  return heap_.string(std::move(text));
}

bool Interpreter::contains(const Value& haystack, const Value& needle) {
  if (haystack.is(Kind::string)) {
    if (!needle.is(Kind::string)) {
      type_error(
          fmt::format("'in <string>' requires string as left operand, not {}", type_name(needle)));
    }
    heap_.read(haystack.text().size() * 2);
    return haystack.text().view().find(needle.text().view()) != std::string::npos;
  }
  if (haystack.is(Kind::dict)) return haystack.dict().find(needle) != nullptr;
  if (haystack.is(Kind::undefined)) return false;
  if (!haystack.has_items()) {
    type_error(fmt::format("argument of type '{}' is not iterable", type_name(haystack)));
  }
  for (const Value& value : items(haystack)) {
    heap_.step();
    if (equals(value, needle)) return true;
  }
  return false;
}

bool Interpreter::comparison(const Expr& expr) {
  Value left = evaluate(*expr.children[0]);
  for (std::size_t i = 0; i < expr.comparisons.size(); ++i) {
    const Value right = evaluate(*expr.children[i + 1]);
    line_ = expr.line;
    bool holds = false;
    switch (expr.comparisons[i]) {
      case Comparison::eq:
        holds = equals(left, right);
        break;
      case Comparison::ne:
        holds = !equals(left, right);
        break;
      case Comparison::lt:
        holds = compare(left, right, "<") == -1;
        break;
      case Comparison::le: {
        const int order = compare(left, right, "<=");
        holds = order == -1 || order == 0;
        break;
      }
      case Comparison::gt:
        holds = compare(left, right, ">") == 1;
        break;
      case Comparison::ge: {
        const int order = compare(left, right, ">=");
        holds = order == 1 || order == 0;
        break;
      }
      case Comparison::in:
        holds = contains(right, left);
        break;
      case Comparison::not_in:
        holds = !contains(right, left);
        break;
    }
    if (!holds) return false;
    left = right;
  }
  return true;
}

Value Interpreter::slice_of(const Expr& expr) {
  std::vector<Value> bounds;
  for (const ExprPtr& child : expr.children) {
    bounds.push_back(child ? evaluate(*child) : Value());
  }
  return heap_.list(std::move(bounds), Kind::slice);
}

Arguments Interpreter::arguments(const CallArguments* given) {
  Arguments result;
  if (given == nullptr) return result;
  for (const ExprPtr& expr : given->positional) result.positional.push_back(evaluate(*expr));
  for (const auto& [key, expr] : given->named) result.named.emplace_back(key, evaluate(*expr));
  if (given->spread) {
    const std::vector<Value>& more = items(evaluate(*given->spread));
    heap_.charge(more.size() * sizeof(Value));
    result.positional.insert(result.positional.end(), more.begin(), more.end());
  }
  if (given->spread_named) {
    const Value more = evaluate(*given->spread_named);
    if (!more.is(Kind::dict)) {
      type_error(fmt::format("argument after ** must be a mapping, not {}", type_name(more)));
    }
    for (const auto& [key, value] : more.dict().entries) {
      if (!key.is(Kind::string)) type_error("keywords must be strings");
      heap_.charge(sizeof(Value) + key.text().size());
      result.named.emplace_back(key.text().bytes(), value);
    }
  }
  return result;
}

Value Interpreter::call(const Expr& expr, const Value* caller) {
  const Value callee = evaluate(*expr.children[0]);
  Arguments given = arguments(expr.arguments.get());
  if (caller != nullptr) given.named.emplace_back("caller", *caller);
  line_ = expr.line;
  return call(callee, given);
}

Value Interpreter::call(const Value& callee, Arguments& given) {
  if (callee.is(Kind::undefined)) undefined_error(callee);
  heap_.step(2);
  if (callee.is(Kind::loop)) return recurse(callee.loop(), given);
  if (!callee.is(Kind::callable)) {
    type_error(fmt::format("'{}' object is not callable", type_name(callee)));
  }
  return callee.callable().call(*this, given);
}

Value Interpreter::filter(std::string_view filter_name, const Value& value, Arguments& given) {
  const Filter found = find_filter(filter_name);
  if (found == nullptr) {
    if (is_other_filter(filter_name)) unsupported("the filter " + quoted_name(filter_name));
    fail_at(
        line_, Failure::Kind::runtime,
        fmt::format("TemplateRuntimeError: No filter named {} found.", quoted_name(filter_name)));
  }
  heap_.step(2);
  return found(*this, value, given);
}

bool Interpreter::test(std::string_view test_name, const Value& value, Arguments& given) {
  const Test found = find_test(test_name);
  if (found == nullptr) {
    fail_at(line_, Failure::Kind::runtime,
            fmt::format("TemplateRuntimeError: No test named {} found.", quoted_name(test_name)));
  }
  heap_.step(2);
  return found(*this, value, given);
}

}  // namespace quern::jinja
