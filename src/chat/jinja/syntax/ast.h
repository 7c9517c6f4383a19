#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "chat/jinja/value/value.h"

namespace quern::jinja {

/// Names are numbers while a template runs: an index of Template::names.
using Symbol = std::uint32_t;

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr spread;        ///< *expression
  ExprPtr spread_named;  ///< **expression
};

enum class ExprKind : std::uint8_t {
  literal,      ///< value, owned by `owned`
  name,         ///< symbol
  list,         ///< children
  tuple,        ///< children
  dict,         ///< children: key, value, key, value, …
  attribute,    ///< children[0].text
  item,         ///< children[0][children[1]]
  slice,        ///< children: begin, end, step; null where left out
  call,         ///< children[0](arguments)
  filter,       ///< children[0] | text(arguments); children[0] is null for a block's filter
  test,         ///< children[0] is text(arguments)
  negate,       ///< - children[0]
  plus,         ///< + children[0]
  logical_not,  ///< not children[0]
  logical_and,
  logical_or,
  arithmetic,   ///< children[0] op children[1]
  concat,       ///< children[0] ~ children[1] ~ …
  comparison,   ///< children[0] comparisons[0] children[1] comparisons[1] …
  conditional,  ///< children[1] if children[0] else children[2], which may be null
};

enum class Comparison : std::uint8_t { eq, ne, lt, le, gt, ge, in, not_in };

struct Expr {
  ExprKind kind = ExprKind::literal;
  char op = 0;  ///< of arithmetic: see calculate()
  int line = 0;
  int depth = 1;  ///< of the tree below
  Symbol symbol = 0;
  Value value;
  std::unique_ptr<Object> owned;
  std::string text;
  std::vector<ExprPtr> children;
  std::vector<Comparison> comparisons;
  std::unique_ptr<CallArguments> arguments;
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

/// What a set or a for assigns to.
struct Target {
  Symbol symbol = 0;
  std::string attribute;         ///< of a namespace: {% set ns.x = … %}
  std::vector<Target> elements;  ///< of a tuple
  bool is_tuple = false;
};

struct Signature {
  std::vector<Symbol> parameters;
  std::vector<ExprPtr> defaults;  ///< of the last ones
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

enum class StatementKind : std::uint8_t {
  data,          ///< text
  output,        ///< exprs, printed
  branch,        ///< exprs[i] → bodies[i], else the last body
  loop,          ///< for target in exprs[0] if exprs[1]: bodies[0] else bodies[1]
  set,           ///< target = exprs[0]
  set_block,     ///< target = bodies[0] | exprs[0]
  macro,         ///< name, signature, bodies[0]
  call_block,    ///< exprs[0] with a caller of signature, bodies[0]
  filter_block,  ///< bodies[0] | exprs[0]
  with,          ///< targets = exprs: bodies[0]
  scope,         ///< bodies[0] in a scope of its own: generation, autoescape false
  block,         ///< bodies[0], which sees the variables of the top level alone
  break_loop,
  continue_loop,
  unsupported,  ///< text says what: an error where it is reached
};

struct Statement {
  StatementKind kind = StatementKind::data;
  bool is_recursive = false;
  int line = 0;
  std::string text;
  Symbol symbol = 0;
  Target target;
  std::vector<Target> targets;
  Signature signature;
  std::vector<ExprPtr> exprs;
  std::vector<Body> bodies;
};

/// A parsed template. Immutable: threads may share it.
struct Template {
  Body body;
  std::vector<std::string> names;  ///< by Symbol
  std::map<std::string, Symbol, std::less<>> symbols;
  std::vector<std::string> literals;  ///< its text between tags and its strings
};

/// The deepest nesting of expressions and of blocks.
inline constexpr int kMaxSyntaxDepth = 200;

}  // namespace quern::jinja
