#pragma once

#include "chat/jinja/run/interpreter.h"

namespace quern::jinja {

/// The attribute argument of filters: "a.b.0", an integer or nothing.
class AttributePath {
 public:
  AttributePath(Interpreter& run, const Value& attribute);
  /// `otherwise` in place of an undefined value, where it is not None.
  Value of(const Value& value, const Value& otherwise = Value()) const;

 private:
  Interpreter& run_;
  std::vector<Value> parts_;
};

/// Strings in lowercase, other values as they are.
Value without_case(Interpreter& run, const Value& value);

}  // namespace quern::jinja
