#pragma once

#include <string_view>

#include "chat/jinja/value/callable.h"

namespace quern::jinja {

using Filter = Value (*)(Interpreter& run, const Value& self, Arguments& arguments);
using Test = bool (*)(Interpreter& run, const Value& self, Arguments& arguments);

// By name; null for one that there is not.
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
/// True for a filter of Jinja's that this engine lacks.
bool is_other_filter(std::string_view name);

/// A method of a string, list, tuple, dict or number.
Filter find_method(const Value& object, std::string_view name);
/// True for a method that would change its object, which the sandbox forbids.
bool is_mutator(const Value& object, std::string_view name);

// The tables behind find_filter() and find_method().
struct NamedFilter {
  std::string_view name;
  Filter filter;
};
Filter find_string_filter(std::string_view name);
Filter find_sequence_filter(std::string_view name);
Filter find_selection_filter(std::string_view name);
Filter find_number_filter(std::string_view name);
Filter find_string_method(std::string_view name);
Filter find_string_search_method(std::string_view name);
Filter find_string_class_method(std::string_view name);

/// Calls `set(name, value)` for the functions that every template has.
class Globals {
 public:
  virtual ~Globals() = default;
  virtual void set(std::string_view name, const Value& value) = 0;
};
void add_globals(Interpreter& run, Globals& globals);

}  // namespace quern::jinja
