#include "chat/jinja/run/interpreter.h"

#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/run/macro.h"
#include "chat/jinja/value/print.h"
#include "quern/text.h"

namespace quern::jinja {
namespace {

/// The deepest nesting of what runs: blocks, expressions and calls together.
constexpr int kMaxRunDepth = 1000;

}  // namespace

/// Counts a level of recursion.
class Interpreter::Level {
 public:
  explicit Level(Interpreter& run) : run_(run) {
    if (++run_.depth_ > kMaxRunDepth) {
      --run_.depth_;
      fail_at(run_.line_, Failure::Kind::limit,
              fmt::format("stopped: it recurses deeper than {} levels", kMaxRunDepth));
    }
  }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  ~Level() { --run_.depth_; }

 private:
  Interpreter& run_;
};

Value* Scope::find(Symbol symbol) {
  for (auto& [name, value] : variables) {
    if (name == symbol) return &value;
  }
  return nullptr;
}

Interpreter::Interpreter(const Template& source, Heap& heap, const std::tm& now)
    : template_(source),
      heap_(heap),
      now_(now),
      root_values_(source.names.size()),
      root_has_(source.names.size(), false) {}

Text Interpreter::render(const Variables& variables) {
  class RootGlobals final : public Globals {
   public:
    explicit RootGlobals(Interpreter& run) : run_(run) {}
    void set(std::string_view name, const Value& value) override {
      const auto it = run_.template_.symbols.find(name);
      if (it != run_.template_.symbols.end()) run_.assign(it->second, value);
    }

   private:
    Interpreter& run_;
  };
  RootGlobals globals(*this);
  add_globals(*this, globals);
  for (const auto& [name, value] : variables) globals.set(name, value);
  Text text;
  out_ = &text;
  try {
    run(template_.body);
  } catch (Failure& failure) {
    if (failure.line == 0) failure.line = line_;
    throw;
  }
  return text;
}

Interpreter::Flow Interpreter::run(const Body& body) {
  for (const auto& statement : body) {
    const Flow flow = run(*statement);
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::run(const Statement& statement) {
  const Level level(*this);
  heap_.step();
  line_ = statement.line;
  switch (statement.kind) {
    case StatementKind::data:
      heap_.charge(statement.text.size());
      out_->append(statement.text);
      check_output();
      break;
    case StatementKind::output:
      for (const ExprPtr& expr : statement.exprs) output(evaluate(*expr));
      break;
    case StatementKind::branch:
      return run_branch(statement);
    case StatementKind::loop:
      run_loop(statement, scope_, evaluate(*statement.exprs[0]), 0);
      break;
    case StatementKind::set:
      assign(statement.target, evaluate(*statement.exprs[0]));
      break;
    case StatementKind::set_block: {
      const Value text = captured(statement.bodies[0]);
      assign(statement.target, filtered(statement.exprs[0].get(), text));
      break;
    }
    case StatementKind::macro:
      assign(statement.symbol, make_macro(heap_, statement, scope_, statement.text));
      break;
    case StatementKind::call_block:
      run_call_block(statement);
      break;
    case StatementKind::filter_block: {
      const Value text = captured(statement.bodies[0]);
      output(filtered(statement.exprs[0].get(), text));
      break;
    }
    case StatementKind::with:
      run_with(statement);
      break;
    case StatementKind::scope:
      run_in_scope(statement.bodies[0], make_scope(scope_));
      break;
    case StatementKind::block:
      run_in_scope(statement.bodies[0], make_scope(nullptr));
      break;
    case StatementKind::break_loop:
      return Flow::break_loop;
    case StatementKind::continue_loop:
      return Flow::continue_loop;
    case StatementKind::unsupported:
      unsupported(statement.text);
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::run_branch(const Statement& statement) {
  for (std::size_t i = 0; i < statement.exprs.size(); ++i) {
    if (is_true(evaluate(*statement.exprs[i]))) return run(statement.bodies[i]);
  }
  if (statement.bodies.size() > statement.exprs.size()) return run(statement.bodies.back());
  return Flow::normal;
}

Scope* Interpreter::make_scope(Scope* parent) {
  auto* scope = heap_.make<Scope>();
  scope->parent = parent;
  return scope;
}

void Interpreter::run_in_scope(const Body& body, Scope* scope) {
  Scope* const around = std::exchange(scope_, scope);
  run(body);
  scope_ = around;
}

void Interpreter::run_loop(const Statement& statement, Scope* around, const Value& iterable,
                           int depth) {
  Scope* const outer = scope_;
  const std::vector<Value>* chosen = &items(iterable);
  if (statement.exprs[1]) {
    std::vector<Value> kept;
    for (const Value& item : *chosen) {
      heap_.step();
      scope_ = make_scope(around);
      assign(statement.target, item);
      if (is_true(evaluate(*statement.exprs[1]))) kept.push_back(item);
    }
    chosen = &heap_.list(std::move(kept)).list().items;
  }
  auto* loop = heap_.make<Loop>();
  loop->statement = &statement;
  loop->scope = around;
  loop->items = chosen;
  loop->depth = depth;
  static const std::string loop_name = "loop";
  const auto symbol = template_.symbols.find(loop_name);
  for (; loop->index < chosen->size(); ++loop->index) {
    heap_.step();
    line_ = statement.line;
    scope_ = make_scope(around);
    if (symbol != template_.symbols.end()) {
      assign(symbol->second, Value::of(Kind::loop, loop));
    }
    assign(statement.target, (*chosen)[loop->index]);
    if (run(statement.bodies[0]) == Flow::break_loop) break;
  }
  if (chosen->empty() && !statement.bodies[1].empty()) {
    run_in_scope(statement.bodies[1], make_scope(around));
  }
  scope_ = outer;
}

void Interpreter::run_call_block(const Statement& statement) {
  const Value caller = make_macro(heap_, statement, scope_, "caller");
  const Expr& expr = *statement.exprs[0];
  output(call(expr, &caller));
}

void Interpreter::run_with(const Statement& statement) {
  Scope* const scope = make_scope(scope_);
  std::vector<Value> values;
  for (const ExprPtr& expr : statement.exprs) values.push_back(evaluate(*expr));
  Scope* const around = std::exchange(scope_, scope);
  for (std::size_t i = 0; i < values.size(); ++i) assign(statement.targets[i], values[i]);
  run(statement.bodies[0]);
  scope_ = around;
}

Value Interpreter::captured(const Body& body) {
  Text text;
  Text* const out = std::exchange(out_, &text);
  run_in_scope(body, make_scope(scope_));
  out_ = out;
  return heap_.string(std::move(text));
}

Value Interpreter::filtered(const Expr* filter_expr, const Value& value) {
  if (filter_expr == nullptr) return value;
  const Level level(*this);
  const Value operand = filtered(filter_expr->children[0].get(), value);
  Arguments given = arguments(filter_expr->arguments.get());
  line_ = filter_expr->line;
  return filter(filter_expr->text, operand, given);
}

void Interpreter::output(const Value& value) {
  if (value.is(Kind::string)) heap_.charge(value.text().cost());
  const std::size_t before = out_->size();
  print(heap_, value, *out_);
  if (!value.is(Kind::string)) heap_.charge(out_->size() - before);
  check_output();
}

void Interpreter::check_output() {
  if (out_->size() > heap_.limits().max_output_bytes) {
    fail_at(line_, Failure::Kind::limit,
            fmt::format("stopped: it writes more than {} bytes", heap_.limits().max_output_bytes));
  }
}

void Interpreter::assign(Symbol symbol, const Value& value) {
  if (scope_ == nullptr) {
    root_values_[symbol] = value;
    root_has_[symbol] = true;
    return;
  }
  heap_.step(scope_->variables.size() / 8);
  if (Value* found = scope_->find(symbol)) {
    *found = value;
  } else {
    heap_.charge(sizeof(scope_->variables[0]));
    scope_->variables.emplace_back(symbol, value);
  }
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (target.is_tuple) {
    const std::vector<Value>& values = items(value);
    const std::size_t expected = target.elements.size();
    if (values.size() < expected) {
      value_error(fmt::format("not enough values to unpack (expected {}, got {})", expected,
                              values.size()));
    }
    if (values.size() > expected) {
      value_error(fmt::format("too many values to unpack (expected {})", expected));
    }
    for (std::size_t i = 0; i < expected; ++i) assign(target.elements[i], values[i]);
    return;
  }
  if (target.attribute.empty()) return assign(target.symbol, value);
  Expr expr;
  expr.symbol = target.symbol;
  const Value object = name(expr);
  if (!object.is(Kind::name_space)) {
    fail_at(line_, Failure::Kind::runtime,
            "TemplateRuntimeError: cannot assign attribute on non-namespace object");
  }
  if (target.attribute[0] == '_') {
    fail_at(line_, Failure::Kind::runtime,
            fmt::format("SecurityError: a namespace's attribute may not begin with an underscore, "
                        "got {}",
                        quoted_name(target.attribute)));
  }
  heap_.set(object.name_space().attributes, heap_.string(target.attribute), value);
}

Value Interpreter::recurse(const Loop& loop, Arguments& given) {
  if (!loop.statement->is_recursive) {
    type_error("The loop must have the 'recursive' marker to be called recursively.");
  }
  if (given.positional.size() != 1 || !given.named.empty()) {
    type_error("loop() takes the items to loop over");
  }
  const Level level(*this);
  Text text;
  Text* const out = std::exchange(out_, &text);
  run_loop(*loop.statement, loop.scope, given.positional[0], loop.depth + 1);
  out_ = out;
  return heap_.string(std::move(text));
}

Value Interpreter::run_macro(const Statement& macro, Scope* closure, const std::string& macro_name,
                             Arguments& given) {
  const Level level(*this);
  heap_.step(4);
  Scope* const scope = make_scope(closure);
  Scope* const around = std::exchange(scope_, scope);
  const int line = line_;
  bind_parameters(macro, macro_name, given, *scope);
  Text text;
  Text* const out = std::exchange(out_, &text);
  run(macro.bodies[0]);
  out_ = out;
  scope_ = around;
  line_ = line;
  return heap_.string(std::move(text));
}

void Interpreter::bind_parameters(const Statement& macro, const std::string& macro_name,
                                  Arguments& given, Scope& scope) {
  const Signature& signature = macro.signature;
  const std::size_t num_parameters = signature.parameters.size();
  std::vector<Value> extra;
  if (given.positional.size() > num_parameters) {
    if (!signature.uses_varargs) {
      type_error(fmt::format("macro {} takes not more than {} argument(s)", quoted_name(macro_name),
                             num_parameters));
    }
    extra.assign(given.positional.begin() + static_cast<std::ptrdiff_t>(num_parameters),
                 given.positional.end());
  }
  heap_.step(num_parameters + given.named.size() * (num_parameters / 8));
  std::vector<bool> taken(given.named.size(), false);
  const std::size_t first_default = num_parameters - signature.defaults.size();
  for (std::size_t i = 0; i < num_parameters; ++i) {
    const Symbol symbol = signature.parameters[i];
    const std::string& parameter = template_.names[symbol];
    const Value* value = i < given.positional.size() ? &given.positional[i] : nullptr;
    for (std::size_t n = 0; value == nullptr && n < given.named.size(); ++n) {
      if (given.named[n].first != parameter) continue;
      value = &given.named[n].second;
      taken[n] = true;
    }
    Value bound;
    if (value != nullptr) {
      bound = *value;
    } else if (i >= first_default) {
      bound = evaluate(*signature.defaults[i - first_default]);
    } else {
      bound = heap_.undefined(fmt::format("parameter {} was not provided", quoted_name(parameter)));
    }
    heap_.charge(sizeof(scope.variables[0]));
    scope.variables.emplace_back(symbol, bound);
  }
  const Value named = heap_.dict();
  Value caller = heap_.undefined("No caller defined");
  for (std::size_t n = 0; n < given.named.size(); ++n) {
    if (taken[n]) continue;
    if (signature.uses_caller && given.named[n].first == "caller") {
      caller = given.named[n].second;
    } else if (signature.uses_kwargs) {
      heap_.set(named.dict(), heap_.string(given.named[n].first), given.named[n].second);
    } else {
      type_error(fmt::format("macro {} takes no keyword argument {}", quoted_name(macro_name),
                             quoted_name(given.named[n].first)));
    }
  }
  const auto bind = [&](bool is_used, const char* special, const Value& value) {
    const auto it = template_.symbols.find(std::string_view(special));
    if (!is_used || it == template_.symbols.end() || scope.find(it->second) != nullptr) return;
    scope.variables.emplace_back(it->second, value);
  };
  bind(signature.uses_caller, "caller", caller);
  bind(signature.uses_kwargs, "kwargs", named);
  bind(signature.uses_varargs, "varargs", heap_.list(std::move(extra), Kind::tuple));
}

}  // namespace quern::jinja
