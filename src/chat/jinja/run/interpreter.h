#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/run/heap.h"
#include "chat/jinja/syntax/ast.h"
#include "chat/jinja/value/callable.h"

namespace quern::jinja {

/// The variables of a block of the template. Those of the outermost one are found by their number.
struct Scope : Object {
  Scope* parent = nullptr;
  std::vector<std::pair<Symbol, Value>> variables;

  Value* find(Symbol symbol);
};

/// A running for loop: the variable `loop`.
struct Loop final : Object {
  const Statement* statement = nullptr;
  Scope* scope = nullptr;  ///< around the loop
  const std::vector<Value>* items = nullptr;
  std::size_t index = 0;
  int depth = 0;
  bool has_changed_value = false;
  Value changed_value;  ///< what loop.changed() saw last
};

inline Loop& Value::loop() const { return *static_cast<Loop*>(object_); }

/// Runs one rendering of a template. Errors: Failure with the line.
class Interpreter {
 public:
  Interpreter(const Template& source, Heap& heap, const std::tm& now);

  using Variables = std::vector<std::pair<std::string, Value>>;
  Text render(const Variables& variables);

  // What builtins need.
  Heap& heap() { return heap_; }
  const std::tm& now() const { return now_; }
  /// object.name and object[key], as the sandbox gives them.
  Value attribute(const Value& object, std::string_view name);
  Value item(const Value& object, const Value& key);
  Value call(const Value& callee, Arguments& arguments);
  Value filter(std::string_view name, const Value& value, Arguments& arguments);
  bool test(std::string_view name, const Value& value, Arguments& arguments);
  /// What a for loop over `value` would see; lives as long as the heap. An iterator is read to its
  /// end. Errors (TypeError): not iterable.
  const std::vector<Value>& items(const Value& value);
  /// `needle in haystack`.
  bool contains(const Value& haystack, const Value& needle);
  Value add(const Value& a, const Value& b);

  /// The text of a macro's body with these variables. Of class Macro.
  Value run_macro(const Statement& macro, Scope* closure, const std::string& name,
                  Arguments& arguments);
  /// loop(items) of a recursive loop.
  Value recurse(const Loop& loop, Arguments& arguments);

 private:
  enum class Flow { normal, break_loop, continue_loop };
  class Level;

  Flow run(const Body& body);
  Flow run(const Statement& statement);
  Flow run_branch(const Statement& statement);
  void run_loop(const Statement& statement, Scope* around, const Value& iterable, int depth);
  void run_filter_block(const Statement& statement);
  void run_call_block(const Statement& statement);
  void run_with(const Statement& statement);
  void run_in_scope(const Body& body, Scope* scope);
  /// The output of a body in a scope of its own.
  Value captured(const Body& body);
  Value filtered(const Expr* filter, const Value& value);
  void output(const Value& value);
  void check_output();
  void assign(const Target& target, const Value& value);
  void assign(Symbol symbol, const Value& value);
  Scope* make_scope(Scope* parent);

  Value evaluate(const Expr& expr);
  Value evaluate_node(const Expr& expr);
  Value name(const Expr& expr);
  Value arithmetic(const Expr& expr);
  Value concat(const Expr& expr);
  bool comparison(const Expr& expr);
  Value slice_of(const Expr& expr);
  Value call(const Expr& expr, const Value* caller);
  Arguments arguments(const CallArguments* given);
  Value sliced(const Value& object, const List& slice);
  Value indexed(const Value& object, const Value& key, bool& found);
  Value bound_attribute(const Value& object, std::string_view name);
  void bind_parameters(const Statement& macro, const std::string& name, Arguments& arguments,
                       Scope& scope);

  const Template& template_;
  Heap& heap_;
  std::tm now_;
  std::vector<Value> root_values_;  // by Symbol
  std::vector<bool> root_has_;
  Scope* scope_ = nullptr;  // innermost; null: the outermost, root_values_
  Text* out_ = nullptr;
  int line_ = 0;
  int depth_ = 0;
};

/// Adds a and b, strings and lists too. Errors: TypeError.
Value repeated(Heap& heap, const Value& sequence, std::int64_t count);

}  // namespace quern::jinja
