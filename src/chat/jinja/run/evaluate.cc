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

/// A bound of a slice, -1 or more.
Value slice_bound(const Value& value) {
  if (value.is(Kind::undefined)) undefined_error(value);
  if (!value.is(Kind::none) && !value.is_integral()) {
    type_error("slice indices must be integers or None or have an __index__ method");
  }
  return value;
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

const std::vector<Value>& Interpreter::items(const Value& value) {
  static const std::vector<Value> none;
  switch (value.kind()) {
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
    case Kind::dict_view:
      return value.list().items;
    case Kind::iterator: {
      List& source = value.list();
      if (source.next == 0) {
        source.next = source.items.size();
        return source.items;
      }
      std::vector<Value> rest(source.items.begin() + static_cast<std::ptrdiff_t>(source.next),
                              source.items.end());
      source.next = source.items.size();
      return heap_.list(std::move(rest)).list().items;
    }
    case Kind::dict: {
      std::vector<Value> keys;
      heap_.charge(value.dict().entries.size() * sizeof(Value));
      for (const auto& [key, entry] : value.dict().entries) keys.push_back(key);
      return heap_.list(std::move(keys)).list().items;
    }
    case Kind::string: {
      const Text& text = value.text();
      std::vector<Value> characters;
      for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at + 1;
        while (end < text.size() &&
               (static_cast<unsigned char>(text.bytes()[end]) & 0xC0U) == 0x80U) {
          ++end;
        }
        characters.push_back(heap_.string(text.part(at, end - at)));
        at = end;
      }
      return heap_.list(std::move(characters)).list().items;
    }
    case Kind::undefined:
      return none;
    default:
      type_error(fmt::format("'{}' object is not iterable", type_name(value)));
  }
}

Value Interpreter::sliced(const Value& object, const List& slice) {
  const bool is_text = object.is(Kind::string);
  const auto length =
      static_cast<std::int64_t>(is_text ? object.text().length() : object.list().items.size());
  const Value step_value = slice_bound(slice.items[2]);
  const std::int64_t step = step_value.is(Kind::none) ? 1 : step_value.integer();
  if (step == 0) value_error("slice step cannot be zero");
  // As PySlice_AdjustIndices.
  const auto bound = [&](const Value& given, std::int64_t otherwise) {
    if (given.is(Kind::none)) return otherwise;
    std::int64_t at = given.integer();
    if (at < 0) {
      at = at < -length ? -1 : at + length;
      if (at < 0) at = step < 0 ? -1 : 0;
    } else if (at >= length) {
      at = step < 0 ? length - 1 : length;
    }
    return at;
  };
  const std::int64_t begin = bound(slice_bound(slice.items[0]), step < 0 ? length - 1 : 0);
  const std::int64_t end = bound(slice_bound(slice.items[1]), step < 0 ? -1 : length);
  if (is_text && step == 1) {
    const Text& text = object.text();
    heap_.read(text.size());
    if (begin >= end) return heap_.string(Text());
    const std::size_t first = text.offset_of(static_cast<std::size_t>(begin));
    const std::size_t last = text.offset_of(static_cast<std::size_t>(end));
    return heap_.string(text.part(first, last - first));
  }
  const std::vector<Value>& all = items(object);
  std::vector<Value> chosen;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    chosen.push_back(all[static_cast<std::size_t>(i)]);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  if (!is_text)
    return heap_.list(std::move(chosen), object.is(Kind::tuple) ? Kind::tuple : Kind::list);
  Text text;
  for (const Value& character : chosen) text.append(character.text());
  return heap_.string(std::move(text));
}

Value Interpreter::indexed(const Value& object, const Value& key, bool& found) {
  found = true;
  if (object.is(Kind::dict)) {
    const bool has_hash = !key.is(Kind::list) && !key.is(Kind::dict) && !key.is(Kind::slice);
    if (const Value* value = has_hash ? object.dict().find(key) : nullptr) return *value;
    found = false;
    return {};
  }
  const bool is_sequence_here = object.is(Kind::string) || object.is(Kind::list) ||
                                object.is(Kind::tuple) || object.is(Kind::range);
  if (is_sequence_here && key.is(Kind::slice)) return sliced(object, key.list());
  if (is_sequence_here && key.is_integral()) {
    const bool is_text = object.is(Kind::string);
    if (is_text) heap_.read(object.text().is_ascii() ? 0 : object.text().size() * 4);
    const auto length =
        static_cast<std::int64_t>(is_text ? object.text().length() : object.list().items.size());
    std::int64_t index = key.integer();
    if (index < 0 && index >= -length) index += length;
    if (index >= 0 && index < length) {
      const auto at = static_cast<std::size_t>(index);
      if (!is_text) return object.list().items[at];
      const std::size_t begin = object.text().offset_of(at);
      return heap_.string(object.text().part(begin, object.text().offset_of(at + 1) - begin));
    }
  }
  found = false;
  return {};
}

Value Interpreter::item(const Value& object, const Value& key) {
  if (object.is(Kind::undefined)) undefined_error(object);
  bool found = false;
  const Value value = indexed(object, key, found);
  if (found) return value;
  if (key.is(Kind::string)) {
    return bound_attribute(object, key.text().view());
  }
  Text shown;
  print_repr(heap_, key, shown);
  return heap_.undefined(fmt::format("'{} object' has no element {}", type_name(object),
                                     shortened_text(shown.view(), 100)));
}

Value Interpreter::attribute(const Value& object, std::string_view attribute_name) {
  if (object.is(Kind::undefined)) undefined_error(object);
  // As Python: a method hides an entry of the same name.
  if (object.is(Kind::dict) && find_method(object, attribute_name) == nullptr &&
      !is_mutator(object, attribute_name)) {
    if (const Value* value = object.dict().find(attribute_name)) return *value;
  }
  return bound_attribute(object, attribute_name);
}

}  // namespace quern::jinja
