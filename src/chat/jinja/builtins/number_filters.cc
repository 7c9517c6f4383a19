#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "chat/jinja/builtins/parameters.h"
#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/builtins/text_tools.h"
#include "chat/jinja/run/interpreter.h"
#include "chat/jinja/value/number.h"

namespace quern::jinja {
namespace {

/// A number as int() or float() reads it: trimmed, single underscores between digits.
std::optional<std::string> plain_number(const Text& text) {
  std::string written = stripped(text, nullptr, Side::both).bytes();
  for (std::size_t i = 0; i < written.size(); ++i) {
    if (written[i] != '_') continue;
    const bool between = i > 0 && i + 1 < written.size() &&
                         std::isxdigit(static_cast<unsigned char>(written[i - 1])) != 0 &&
                         std::isxdigit(static_cast<unsigned char>(written[i + 1])) != 0;
    if (!between) return std::nullopt;
  }
  std::erase(written, '_');
  if (written.empty()) return std::nullopt;
  return written;
}

std::optional<std::int64_t> parse_integer(const Text& text, std::int64_t base) {
  auto written = plain_number(text);
  if (!written) return std::nullopt;
  bool is_negative = false;
  std::string_view digits = *written;
  if (digits.starts_with('-') || digits.starts_with('+')) {
    is_negative = digits[0] == '-';
    digits.remove_prefix(1);
  }
  const auto prefixed = [&](char letter) {
    return digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) == letter;
  };
  if ((base == 16 && prefixed('x')) || (base == 8 && prefixed('o')) ||
      (base == 2 && prefixed('b'))) {
    digits.remove_prefix(2);
  }
  if (base < 2 || base > 36 || digits.empty() || digits[0] == '-') return std::nullopt;
  std::uint64_t magnitude = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), magnitude,
                                      static_cast<int>(base));
  if (result.ptr != digits.data() + digits.size()) return std::nullopt;
  if (result.ec != std::errc() || magnitude > (std::uint64_t{1} << 63) - (is_negative ? 0 : 1)) {
    too_large();
  }
  return static_cast<std::int64_t>(is_negative ? ~magnitude + 1 : magnitude);
}

std::optional<double> parse_float(const Text& text) {
  const auto written = plain_number(text);
  if (!written) return std::nullopt;
  std::string lower = *written;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const std::string_view bare =
      std::string_view(lower).substr(lower[0] == '-' || lower[0] == '+' ? 1 : 0);
  const bool is_name = bare == "inf" || bare == "infinity" || bare == "nan";
  if (!is_name && bare.find_first_not_of("0123456789.e+-") != std::string_view::npos) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double value = std::strtod(lower.c_str(), &end);
  if (end != lower.c_str() + lower.size()) return std::nullopt;
  return value;
}

std::int64_t truncated(double value) {
  const auto integer = to_integer(std::trunc(value));
  if (!integer) too_large();
  return *integer;
}

Value to_int(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("int", arguments, {"default", "base"});
  const Value otherwise = p.has(0) ? p.get(0) : Value::of(std::int64_t{0});
  if (self.is(Kind::undefined)) undefined_error(self);
  if (self.is_integral()) return Value::of(self.integer());
  std::optional<double> number;
  if (self.is(Kind::floating)) number = self.number();
  if (self.is(Kind::string)) {
    if (const auto integer = parse_integer(self.text(), p.integer(1, 10))) {
      return Value::of(*integer);
    }
    number = parse_float(self.text());
  }
  if (!number || !std::isfinite(*number)) {
    if (self.is(Kind::floating) && std::isinf(*number)) {
      fail_at(0, Failure::Kind::runtime, "OverflowError: cannot convert float infinity to integer");
    }
    return otherwise;
  }
  return Value::of(truncated(*number));
}

Value to_float(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("float", arguments, {"default"});
  if (self.is(Kind::undefined)) undefined_error(self);
  if (self.is_number()) return Value::of(self.number());
  if (self.is(Kind::string)) {
    if (const auto number = parse_float(self.text())) return Value::of(*number);
  }
  return p.has(0) ? p.get(0) : Value::of(0.0);
}

Value absolute(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("abs", arguments, {});
  if (self.is(Kind::undefined)) undefined_error(self);
  if (!self.is_number()) {
    type_error(fmt::format("bad operand type for abs(): '{}'", type_name(self)));
  }
  if (self.is(Kind::floating)) return Value::of(std::abs(self.number()));
  return self.integer() < 0 ? calculate('-', Value::of(std::int64_t{0}), self)
                            : Value::of(self.integer());
}

/// Correctly rounded, as Python's round(): printf rounds the exact binary value.
double rounded(double value, std::int64_t precision) {
  if (!std::isfinite(value) || precision > 340) return value;
  if (precision < -310) return std::copysign(0.0, value);
  if (precision >= 0) {
    char buffer[800];
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), value);
    return std::strtod(buffer, nullptr);
  }
  const double scale = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / scale) * scale;
}

Value round(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("round", arguments, {"precision", "method"});
  const std::int64_t precision = p.integer(0, 0);
  const std::string method = p.has(1) ? p.text(1).bytes() : "common";
  if (self.is(Kind::undefined)) undefined_error(self);
  if (method != "common" && method != "ceil" && method != "floor") {
    fail_at(0, Failure::Kind::runtime, "FilterArgumentError: method must be common, ceil or floor");
  }
  if (!self.is_number()) {
    type_error(fmt::format("type {} doesn't define __round__ method", type_name(self)));
  }
  if (method == "common") {
    if (self.is(Kind::floating)) return Value::of(rounded(self.number(), precision));
    if (precision >= 0) return Value::of(self.integer());
    return Value::of(truncated(rounded(self.number(), precision)));
  }
  const Value scale = calculate('^', Value::of(std::int64_t{10}), Value::of(precision));
  const double scaled = calculate('*', self, scale).number();
  const double whole = method == "ceil" ? std::ceil(scaled) : std::floor(scaled);
  return calculate('/', Value::of(truncated(whole)), scale);
}

Value is_integer(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("is_integer", arguments, {});
  return Value::of(self.is_integral() || to_integer(self.number()).has_value());
}

constexpr NamedFilter kNumberFilters[] = {
    {"int", to_int}, {"float", to_float}, {"abs", absolute}, {"round", round}};

// Lists and tuples.

Value index_of(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("index", arguments, {"value", "start", "stop"}, 1);
  const auto& items = self.list().items;
  const auto size = static_cast<std::int64_t>(items.size());
  const auto place = [&](std::size_t i, std::int64_t otherwise) {
    std::int64_t at = p.integer(i, otherwise);
    if (at < 0) at = std::max<std::int64_t>(at + size, 0);
    return at;
  };
  const std::int64_t end = std::min(place(2, size), size);
  for (std::int64_t i = place(1, 0); i < end; ++i) {
    run.heap().step();
    if (equals(items[static_cast<std::size_t>(i)], p.get(0))) return Value::of(i);
  }
  value_error("the value is not in the list");
}

Value count_of(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("count", arguments, {"value"}, 1);
  std::int64_t found = 0;
  for (const Value& item : self.list().items) {
    run.heap().step();
    if (equals(item, p.get(0))) ++found;
  }
  return Value::of(found);
}

Value copy_list(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("copy", arguments, {});
  return run.heap().list(self.list().items);
}

// Mappings.

Value get(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("get", arguments, {"key", "default"}, 1);
  const Value* found = self.dict().find(p.get(0));
  return found != nullptr ? *found : p.get(1);
}

Value dict_view(Interpreter& run, const Value& self, const char* name, int what) {
  std::vector<Value> values;
  for (const auto& [key, value] : self.dict().entries) {
    values.push_back(what == 0   ? key
                     : what == 1 ? value
                                 : run.heap().list({key, value}, Kind::tuple));
  }
  const Value view = run.heap().list(std::move(values), Kind::dict_view);
  view.list().view = name;
  return view;
}

Value dict_keys(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("keys", arguments, {});
  return dict_view(run, self, "dict_keys", 0);
}
Value dict_values(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("values", arguments, {});
  return dict_view(run, self, "dict_values", 1);
}
Value dict_items(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("items", arguments, {});
  return dict_view(run, self, "dict_items", 2);
}

Value copy_dict(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("copy", arguments, {});
  const Value copy = run.heap().dict();
  for (const auto& [key, value] : self.dict().entries) run.heap().set(copy.dict(), key, value);
  return copy;
}

constexpr NamedFilter kListMethods[] = {
    {"index", index_of}, {"count", count_of}, {"copy", copy_list}};
constexpr NamedFilter kDictMethods[] = {{"get", get},
                                        {"keys", dict_keys},
                                        {"values", dict_values},
                                        {"items", dict_items},
                                        {"copy", copy_dict}};

template <std::size_t kSize>
Filter find_in(const NamedFilter (&table)[kSize], std::string_view name) {
  for (const auto& [known, method] : table) {
    if (known == name) return method;
  }
  return nullptr;
}

}  // namespace

Filter find_number_filter(std::string_view name) { return find_in(kNumberFilters, name); }

Filter find_method(const Value& object, std::string_view name) {
  switch (object.kind()) {
    case Kind::string:
      return find_string_method(name);
    case Kind::dict:
      return find_in(kDictMethods, name);
    case Kind::list:
      return find_in(kListMethods, name);
    case Kind::tuple:
    case Kind::range:
      return name == "copy" ? nullptr : find_in(kListMethods, name);
    case Kind::floating:
      return name == "is_integer" ? is_integer : nullptr;
    default:
      return nullptr;
  }
}

bool is_mutator(const Value& object, std::string_view name) {
  static constexpr std::string_view kOfLists[] = {"append", "clear", "pop",    "reverse",
                                                  "insert", "sort",  "extend", "remove"};
  static constexpr std::string_view kOfDicts[] = {"clear", "pop", "popitem", "setdefault",
                                                  "update"};
  const auto is_in = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  return object.is(Kind::list) ? is_in(kOfLists) : object.is(Kind::dict) && is_in(kOfDicts);
}

}  // namespace quern::jinja
