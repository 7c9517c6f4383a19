#include <fmt/format.h>

#include "chat/jinja/builtins/parameters.h"
#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/run/interpreter.h"
#include "chat/jinja/value/number.h"
#include "chat/jinja/value/print.h"
#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern::jinja {
namespace {

void expect_none(const Arguments& arguments) { const Parameters p("test", arguments, {}); }

template <Kind kKind>
bool is_kind(Interpreter&, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  return self.is(kKind);
}

template <bool kValue>
bool is_boolean(Interpreter&, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  return self.is(Kind::boolean) && self.boolean() == kValue;
}

bool is_defined(Interpreter&, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  return !self.is(Kind::undefined);
}

bool is_number(Interpreter&, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  return self.is_number();
}

bool is_sequence(Interpreter&, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  // What has len() and []; Jinja takes mappings for sequences, too. An undefined value has both.
  if (self.is(Kind::undefined)) undefined_error(self);
  return self.is(Kind::string) || self.is(Kind::list) || self.is(Kind::tuple) ||
         self.is(Kind::dict) || self.is(Kind::range);
}

bool is_iterable(Interpreter&, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  return self.has_items() || self.is(Kind::string) || self.is(Kind::dict) ||
         self.is(Kind::undefined) || self.is(Kind::loop);
}

bool is_callable(Interpreter&, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  return self.is(Kind::callable) || self.is(Kind::loop) || self.is(Kind::undefined);
}

Value remainder(const Value& self, std::int64_t divisor) {
  if (self.is(Kind::undefined)) undefined_error(self);
  if (!self.is_number()) {
    type_error(fmt::format("unsupported operand type(s) for %: '{}' and 'int'", type_name(self)));
  }
  return calculate('%', self, Value::of(divisor));
}

template <int kWanted>
bool has_parity(Interpreter&, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  return remainder(self, 2).number() == kWanted;
}

bool divisible_by(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("divisibleby", arguments, {"num"}, 1);
  return remainder(self, p.integer(0, 1)).number() == 0;
}

template <bool kUpper>
bool has_case(Interpreter& run, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  const Text text = printed(run.heap(), self);
  run.heap().read(text.size() * 8);
  bool any = false;
  bool holds = true;
  for_each_code_point(text.view(), [&](char32_t c, std::size_t, std::size_t) {
    const Category category = category_of(c);
    if (category > Category::lt) return;
    any = any || category == (kUpper ? Category::lu : Category::ll);
    holds = holds && category == (kUpper ? Category::lu : Category::ll);
  });
  return any && holds;
}

bool same_as(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("sameas", arguments, {"other"}, 1);
  const Value other = p.get(0);
  if (self.kind() != other.kind()) return false;
  switch (self.kind()) {
    case Kind::none:
      return true;
    case Kind::boolean:
    case Kind::integer:
      return self.integer() == other.integer();
    case Kind::floating:
      return self.number() == other.number();
    default:
      return self.object() == other.object();
  }
}

bool is_escaped(Interpreter&, const Value&, Arguments& arguments) {
  expect_none(arguments);
  return false;
}

bool is_in(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("in", arguments, {"seq"}, 1);
  return run.contains(p.get(0), self);
}

template <Comparison kOp>
bool compares(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("comparison", arguments, {"other"}, 1);
  const Value other = p.get(0);
  switch (kOp) {
    case Comparison::eq:
      return equals(self, other);
    case Comparison::ne:
      return !equals(self, other);
    case Comparison::lt:
      return compare(self, other, "<") == -1;
    case Comparison::gt:
      return compare(self, other, ">") == 1;
    case Comparison::le: {
      const int order = compare(self, other, "<=");
      return order == 0 || order == -1;
    }
    default: {
      const int order = compare(self, other, ">=");
      return order == 0 || order == 1;
    }
  }
}

bool is_filter(Interpreter&, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  return self.is(Kind::string) && find_filter(self.text().view()) != nullptr;
}

bool is_test(Interpreter&, const Value& self, Arguments& arguments) {
  expect_none(arguments);
  return self.is(Kind::string) && find_test(self.text().view()) != nullptr;
}

bool is_any_boolean(Interpreter& run, const Value& self, Arguments& arguments) {
  return is_kind<Kind::boolean>(run, self, arguments);
}

constexpr struct {
  std::string_view name;
  Test test;
} kTests[] = {
    {"defined", is_defined},
    {"undefined", is_kind<Kind::undefined>},
    {"none", is_kind<Kind::none>},
    {"boolean", is_any_boolean},
    {"true", is_boolean<true>},
    {"false", is_boolean<false>},
    {"integer", is_kind<Kind::integer>},
    {"float", is_kind<Kind::floating>},
    {"number", is_number},
    {"string", is_kind<Kind::string>},
    {"mapping", is_kind<Kind::dict>},
    {"sequence", is_sequence},
    {"iterable", is_iterable},
    {"callable", is_callable},
    {"odd", has_parity<1>},
    {"even", has_parity<0>},
    {"divisibleby", divisible_by},
    {"lower", has_case<false>},
    {"upper", has_case<true>},
    {"sameas", same_as},
    {"escaped", is_escaped},
    {"in", is_in},
    {"==", compares<Comparison::eq>},
    {"eq", compares<Comparison::eq>},
    {"equalto", compares<Comparison::eq>},
    {"!=", compares<Comparison::ne>},
    {"ne", compares<Comparison::ne>},
    {">", compares<Comparison::gt>},
    {"gt", compares<Comparison::gt>},
    {"greaterthan", compares<Comparison::gt>},
    {">=", compares<Comparison::ge>},
    {"ge", compares<Comparison::ge>},
    {"<", compares<Comparison::lt>},
    {"lt", compares<Comparison::lt>},
    {"lessthan", compares<Comparison::lt>},
    {"<=", compares<Comparison::le>},
    {"le", compares<Comparison::le>},
    {"filter", is_filter},
    {"test", is_test},
};

}  // namespace

Test find_test(std::string_view name) {
  for (const auto& [known, test] : kTests) {
    if (known == name) return test;
  }
  return nullptr;
}

}  // namespace quern::jinja
