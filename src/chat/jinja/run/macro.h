#pragma once

#include <string>

#include "chat/jinja/run/interpreter.h"

namespace quern::jinja {

/// What {% macro %} makes: its body, and the variables around it.
struct Macro final : Callable {
  const Statement* statement = nullptr;
  Scope* closure = nullptr;
  std::string own_name;

  Value call(Interpreter& interpreter, Arguments& arguments) const override {
    return interpreter.run_macro(*statement, closure, own_name, arguments);
  }
  std::string name() const override { return own_name; }
};

inline Value make_macro(Heap& heap, const Statement& statement, Scope* closure,
                        const std::string& name) {
  auto* macro = heap.make<Macro>();
  macro->statement = &statement;
  macro->closure = closure;
  macro->own_name = name;
  return Value::of(Kind::callable, macro);
}

}  // namespace quern::jinja
