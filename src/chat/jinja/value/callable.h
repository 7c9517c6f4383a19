#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/value/value.h"

namespace quern::jinja {

class Interpreter;

/// The arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// What can be called: a function, a method bound to its object, a macro.
struct Callable : Object {
  virtual Value call(Interpreter& interpreter, Arguments& arguments) const = 0;
  virtual std::string name() const = 0;
};

inline const Callable& Value::callable() const { return *static_cast<Callable*>(object_); }

}  // namespace quern::jinja
