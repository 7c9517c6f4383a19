#include <fmt/format.h>

#include "chat/jinja/builtins/parameters.h"
#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/run/interpreter.h"
#include "chat/jinja/run/macro.h"
#include "chat/jinja/value/print.h"
#include "quern/text.h"

namespace quern::jinja {
namespace {

/// A builtin with the object it belongs to.
struct BoundMethod final : Callable {
  Value object;
  Filter method = nullptr;
  std::string own_name;

  Value call(Interpreter& run, Arguments& arguments) const override {
    return method(run, object, arguments);
  }
  std::string name() const override { return own_name; }
};

Value bind_method(Heap& heap, const Value& object, Filter method, std::string_view name) {
  auto* bound = heap.make<BoundMethod>();
  bound->object = object;
  bound->method = method;
  bound->own_name = std::string(name);
  return Value::of(Kind::callable, bound);
}

Value loop_cycle(Interpreter&, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty()) type_error("no items for cycling given");
  return arguments.positional[self.loop().index % arguments.positional.size()];
}

Value loop_changed(Interpreter& run, const Value& self, Arguments& arguments) {
  Loop& loop = self.loop();
  const Value seen = run.heap().list(arguments.positional, Kind::tuple);
  if (loop.has_changed_value && equals(loop.changed_value, seen)) return Value::of(false);
  loop.has_changed_value = true;
  loop.changed_value = seen;
  return Value::of(true);
}

/// A variable of `loop`; false where it has none of that name.
bool loop_attribute(Heap& heap, const Value& object, std::string_view name, Value& value) {
  const Loop& loop = object.loop();
  const std::size_t size = loop.items->size();
  const auto number = [](std::size_t n) { return Value::of(static_cast<std::int64_t>(n)); };
  if (name == "index") {
    value = number(loop.index + 1);
  } else if (name == "index0") {
    value = number(loop.index);
  } else if (name == "first") {
    value = Value::of(loop.index == 0);
  } else if (name == "last") {
    value = Value::of(loop.index + 1 == size);
  } else if (name == "length") {
    value = number(size);
  } else if (name == "revindex") {
    value = number(size - loop.index);
  } else if (name == "revindex0") {
    value = number(size - loop.index - 1);
  } else if (name == "depth") {
    value = Value::of(std::int64_t{loop.depth} + 1);
  } else if (name == "depth0") {
    value = Value::of(std::int64_t{loop.depth});
  } else if (name == "previtem") {
    value = loop.index > 0 ? (*loop.items)[loop.index - 1]
                           : heap.undefined("there is no previous item");
  } else if (name == "nextitem") {
    value = loop.index + 1 < size ? (*loop.items)[loop.index + 1]
                                  : heap.undefined("there is no next item");
  } else if (name == "cycle") {
    value = bind_method(heap, object, loop_cycle, name);
  } else if (name == "changed") {
    value = bind_method(heap, object, loop_changed, name);
  } else {
    return false;
  }
  return true;
}

bool macro_attribute(Interpreter& run, const Macro& macro, std::string_view name, Value& value) {
  if (macro.statement == nullptr) return false;
  if (name == "name") {
    value = run.heap().string(macro.own_name);
  } else if (name == "catch_kwargs") {
    value = Value::of(macro.statement->signature.uses_kwargs);
  } else if (name == "catch_varargs") {
    value = Value::of(macro.statement->signature.uses_varargs);
  } else if (name == "caller") {
    value = Value::of(macro.statement->signature.uses_caller);
  } else if (name == "arguments") {
    unsupported("the attribute 'arguments' of a macro");
  } else {
    return false;
  }
  return true;
}

}  // namespace

Value Interpreter::bound_attribute(const Value& object, std::string_view name) {
  const bool is_internal = name.size() > 4 && name.starts_with("__") && name.ends_with("__");
  if (is_internal || is_mutator(object, name)) {
    const Value value = heap_.undefined(fmt::format(
        "access to attribute {} of '{}' object is unsafe.", quoted_name(name), type_name(object)));
    static_cast<Undefined*>(value.object())->is_unsafe = true;
    return value;
  }
  Value value;
  if (object.is(Kind::name_space)) {
    if (const Value* found = object.name_space().attributes.find(name)) return *found;
  }
  if (object.is(Kind::loop) && loop_attribute(heap_, object, name, value)) return value;
  if (object.is(Kind::callable)) {
    const auto* macro = dynamic_cast<const Macro*>(object.object());
    if (macro != nullptr && macro_attribute(*this, *macro, name, value)) return value;
  }
  if (const Filter method = find_method(object, name)) {
    return bind_method(heap_, object, method, name);
  }
  const std::string described =
      object.is(Kind::none) ? std::string("None") : fmt::format("'{} object'", type_name(object));
  return heap_.undefined(fmt::format("{} has no attribute {}", described, quoted_name(name)));
}

}  // namespace quern::jinja
