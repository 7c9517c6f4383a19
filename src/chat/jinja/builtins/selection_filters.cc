#include <fmt/format.h>

#include <utility>

#include "chat/jinja/builtins/parameters.h"
#include "chat/jinja/builtins/path.h"
#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/value/print.h"
#include "quern/text.h"

namespace quern::jinja {
namespace {

[[noreturn]] void argument_error(const std::string& message) {
  fail_at(0, Failure::Kind::runtime, "FilterArgumentError: " + message);
}

/// The first of the arguments, which is taken from them: a filter's or test's name.
std::string take_name(Interpreter& run, Arguments& arguments) {
  std::string name = printed(run.heap(), arguments.positional.front()).bytes();
  arguments.positional.erase(arguments.positional.begin());
  return name;
}

Value map(Interpreter& run, const Value& self, Arguments& arguments) {
  std::vector<Value> values;
  if (arguments.positional.empty()) {
    Value attribute;
    Value otherwise;
    bool has_attribute = false;
    for (const auto& [name, value] : arguments.named) {
      if (name == "attribute") {
        attribute = value;
        has_attribute = true;
      } else if (name == "default") {
        otherwise = value;
      } else {
        argument_error("Unexpected keyword argument " + quoted_name(name));
      }
    }
    if (!has_attribute) argument_error("map requires a filter argument");
    const AttributePath path(run, attribute);
    for (const Value& value : run.items(self)) values.push_back(path.of(value, otherwise));
  } else {
    const std::string name = take_name(run, arguments);
    for (const Value& value : run.items(self)) {
      Arguments given = arguments;
      run.heap().step(1 + given.positional.size());
      values.push_back(run.filter(name, value, given));
    }
  }
  return run.heap().list(std::move(values), Kind::iterator);
}

template <bool kWanted, bool kByAttribute>
Value select(Interpreter& run, const Value& self, Arguments& arguments) {
  std::vector<Value> values;
  if (is_true(self)) {
    Value attribute;
    if (kByAttribute) {
      if (arguments.positional.empty()) argument_error("Missing parameter for attribute name");
      attribute = arguments.positional.front();
      arguments.positional.erase(arguments.positional.begin());
    }
    const AttributePath path(run, attribute);
    const bool has_test = !arguments.positional.empty();
    const std::string name = has_test ? take_name(run, arguments) : std::string();
    for (const Value& value : run.items(self)) {
      const Value tested = path.of(value);
      Arguments given = arguments;
      run.heap().step(1 + given.positional.size());
      const bool holds = has_test ? run.test(name, tested, given) : is_true(tested);
      if (holds == kWanted) values.push_back(value);
    }
  }
  return run.heap().list(std::move(values), Kind::iterator);
}

Value attr(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("attr", arguments, {"name"}, 1);
  const Text name = printed(run.heap(), p.get(0));
  // Unlike object.name it does not look into a mapping.
  if (self.is(Kind::dict) && find_method(self, name.view()) == nullptr) {
    return run.heap().undefined(
        fmt::format("'dict object' has no attribute {}", quoted_name(name.view())));
  }
  return run.attribute(self, name.view());
}

Value default_filter(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("default", arguments, {"default_value", "boolean"});
  const bool is_missing = self.is(Kind::undefined) || (p.flag(1, false) && !is_true(self));
  if (!is_missing) return self;
  return p.has(0) ? p.get(0) : run.heap().string(Text());
}

Value tojson(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = p.flag(0, false);
  style.sort_keys = p.flag(3, false);
  if (p.is_given(1)) {
    style.is_indented = true;
    style.item_separator = Text(",");
    if (p.get(1).is(Kind::string)) {
      style.indent = p.text(1);
    } else {
      const std::int64_t width = p.integer(1, 0);
      const Value space = run.heap().string(Text(" "));
      style.indent = repeated(run.heap(), space, width).text();
    }
  }
  if (p.is_given(2)) {
    const std::vector<Value>& separators = run.items(p.get(2));
    if (separators.size() != 2 || !separators[0].is(Kind::string) ||
        !separators[1].is(Kind::string)) {
      value_error("tojson: expected separators (item, key), two strings");
    }
    style.item_separator = separators[0].text();
    style.key_separator = separators[1].text();
  }
  return run.heap().string(to_json(run.heap(), self, style));
}

constexpr NamedFilter kSelectionFilters[] = {
    {"map", map},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
    {"attr", attr},
    {"default", default_filter},
    {"d", default_filter},
    {"tojson", tojson},
};

/// Of Jinja's own filters those that no chat template has a use for.
constexpr std::string_view kOtherFilters[] = {"filesizeformat", "pprint",   "random",
                                              "urlize",         "wordwrap", "xmlattr"};

}  // namespace

Filter find_selection_filter(std::string_view name) {
  for (const auto& [known, filter] : kSelectionFilters) {
    if (known == name) return filter;
  }
  return nullptr;
}

Filter find_filter(std::string_view name) {
  if (const Filter found = find_string_filter(name)) return found;
  if (const Filter found = find_sequence_filter(name)) return found;
  if (const Filter found = find_selection_filter(name)) return found;
  return find_number_filter(name);
}

bool is_other_filter(std::string_view name) {
  for (const std::string_view other : kOtherFilters) {
    if (other == name) return true;
  }
  return false;
}

}  // namespace quern::jinja
