#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/syntax/ast.h"
#include "chat/jinja/syntax/token_stream.h"

namespace quern::jinja {

/// Which of the names with a meaning of their own a macro reads.
struct MacroNames {
  bool caller = false;
  bool varargs = false;
  bool kwargs = false;
};

/// Parses expressions with Jinja's precedence, which is not quite Python's: unary minus binds
/// tighter than **, ** groups to the left, a filter binds tighter than any operator.
class ExpressionParser {
 public:
  ExpressionParser(TokenStream& tokens, Template& result) : tokens_(tokens), template_(result) {}

  ExprPtr expression(bool with_conditional = true);
  /// One or several expressions with commas between them, up to the end of a tag or `end_name`.
  ExprPtr tuple(bool with_conditional = true, std::string_view end_name = {},
                bool in_parentheses = false);
  ExprPtr filters(ExprPtr operand, bool is_named = false);
  Target target(std::string_view end_name, bool with_namespace);
  Target name_target();
  Symbol symbol(const std::string& name);

  TokenStream& tokens() { return tokens_; }
  /// Open macros, innermost last.
  std::vector<MacroNames*>& macros() { return macros_; }
  /// Filters and tests that are unknown are an error at once, but for those within a condition.
  int& num_conditions() { return num_conditions_; }

 private:
  /// Holds the recursion of the parser within bounds.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxSyntaxDepth) refuse_depth(parser_.tokens_.current().line);
    }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    ~Nesting() { --parser_.depth_; }

   private:
    ExpressionParser& parser_;
  };

  [[noreturn]] static void refuse_depth(int line);

  ExprPtr make(ExprKind kind, int line) const;
  /// With its depth from its children. Errors: limit.
  ExprPtr finish(ExprPtr expr) const;
  ExprPtr binary(ExprKind kind, int line, ExprPtr left, ExprPtr right, char op = 0) const;
  ExprPtr conditional();
  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concat();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filter = true);
  ExprPtr primary();
  ExprPtr name_or_constant();
  ExprPtr string_literal();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr operand);
  ExprPtr filters_and_tests(ExprPtr operand);
  ExprPtr subscript(ExprPtr operand);
  ExprPtr subscribed();
  ExprPtr call(ExprPtr callee);
  ExprPtr test(ExprPtr operand);
  std::unique_ptr<CallArguments> arguments();
  bool is_tuple_end(std::string_view end_name) const;
  void check_is_known(const char* what, bool is_known, bool is_jinjas, const std::string& name,
                      int line) const;
  Target element(bool with_namespace);

  TokenStream& tokens_;
  Template& template_;
  std::vector<MacroNames*> macros_;
  int num_conditions_ = 0;
  int depth_ = 0;
};

}  // namespace quern::jinja
