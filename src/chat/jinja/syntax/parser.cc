#include "chat/jinja/syntax/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <utility>

#include "chat/jinja/failure.h"
#include "chat/jinja/syntax/expression_parser.h"
#include "quern/text.h"

namespace quern::jinja {
namespace {

using StatementPtr = std::unique_ptr<Statement>;
using Names = std::initializer_list<std::string_view>;

/// Parses statements and what lies between them.
class TemplateParser {
 public:
  explicit TemplateParser(std::string_view source)
      : tokens_(tokenize(source)), expressions_(tokens_, template_) {}

  Template parse() {
    template_.body = body({});
    return std::move(template_);
  }

 private:
  StatementPtr make(StatementKind kind) const {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    statement->line = tokens_.current().line;
    return statement;
  }

  static bool is_one_of(const Token& token, Names names) {
    return token.kind == TokenKind::name &&
           std::find(names.begin(), names.end(), token.text) != names.end();
  }

  /// Statements up to one of `ends`, which stays the current token, or to the template's end.
  Body body(Names ends) {
    if (++depth_ > kMaxSyntaxDepth) {
      fail_at(tokens_.current().line, Failure::Kind::limit,
              fmt::format("nested deeper than {} levels", kMaxSyntaxDepth));
    }
    Body statements;
    while (true) {
      const Token& token = tokens_.current();
      if (token.kind == TokenKind::end) {
        if (ends.size() == 0) break;
        fail_at(
            token.line, Failure::Kind::syntax,
            fmt::format("Unexpected end of template, expected '{}'", fmt::join(ends, "' or '")));
      }
      if (token.kind == TokenKind::data) {
        StatementPtr data = make(StatementKind::data);
        data->text = tokens_.next().text;
        template_.literals.push_back(data->text);
        statements.push_back(std::move(data));
      } else if (token.kind == TokenKind::variable_begin) {
        StatementPtr output = make(StatementKind::output);
        tokens_.next();
        output->exprs.push_back(expressions_.tuple());
        tokens_.expect(TokenKind::variable_end, "'}}'");
        statements.push_back(std::move(output));
      } else {
        tokens_.expect(TokenKind::block_begin, "a tag");
        if (is_one_of(tokens_.current(), ends)) break;
        if (StatementPtr parsed = statement(ends)) statements.push_back(std::move(parsed));
        tokens_.expect(TokenKind::block_end, "'%}'");
      }
    }
    --depth_;
    return statements;
  }

  /// After a tag that opens: its end, the statements, and the name that closes them.
  Body inner(Names ends) {
    tokens_.skip_op(":");
    tokens_.expect(TokenKind::block_end, "'%}'");
    return body(ends);
  }
  Body inner_to(std::string_view end) {
    Body statements = inner({end});
    tokens_.next();
    return statements;
  }

  StatementPtr statement(Names ends) {
    const Token& token = tokens_.current();
    if (token.kind != TokenKind::name) tokens_.refuse("a tag's name");
    const std::string name = token.text;
    using Method = StatementPtr (TemplateParser::*)();
    static constexpr std::pair<std::string_view, Method> kTags[] = {
        {"if", &TemplateParser::parse_if},
        {"for", &TemplateParser::parse_for},
        {"set", &TemplateParser::parse_set},
        {"macro", &TemplateParser::parse_macro},
        {"call", &TemplateParser::parse_call},
        {"filter", &TemplateParser::parse_filter},
        {"with", &TemplateParser::parse_with},
        {"print", &TemplateParser::parse_print},
        {"generation", &TemplateParser::parse_generation},
        {"block", &TemplateParser::parse_block},
        {"autoescape", &TemplateParser::parse_autoescape},
        {"break", &TemplateParser::parse_break},
        {"continue", &TemplateParser::parse_continue},
        {"include", &TemplateParser::parse_other_file},
        {"import", &TemplateParser::parse_other_file},
        {"from", &TemplateParser::parse_other_file},
        {"extends", &TemplateParser::parse_other_file},
    };
    for (const auto& [tag, parse] : kTags) {
      if (tag == name) return (this->*parse)();
    }
    const std::string wanted = ends.size() == 0
                                   ? std::string()
                                   : fmt::format(", expected '{}'", fmt::join(ends, "' or '"));
    fail_at(token.line, Failure::Kind::syntax,
            fmt::format("Encountered unknown tag {}{}", quoted_name(name), wanted));
  }

  StatementPtr parse_if() {
    StatementPtr result = make(StatementKind::branch);
    tokens_.next();
    while (true) {
      result->exprs.push_back(expressions_.tuple(false));
      ++expressions_.num_conditions();
      result->bodies.push_back(inner({"elif", "else", "endif"}));
      const std::string end = tokens_.next().text;
      if (end == "else") result->bodies.push_back(inner_to("endif"));
      --expressions_.num_conditions();
      if (end != "elif") return result;
    }
  }

  StatementPtr parse_for() {
    StatementPtr result = make(StatementKind::loop);
    tokens_.next();
    result->target = expressions_.target("in", false);
    refuse_loop_name(result->target, result->line);
    tokens_.expect_name("in");
    result->exprs.push_back(expressions_.tuple(false, "recursive"));
    result->exprs.push_back(tokens_.skip_name("if") ? expressions_.expression() : nullptr);
    result->is_recursive = tokens_.skip_name("recursive");
    ++num_loops_;
    result->bodies.push_back(inner({"endfor", "else"}));
    --num_loops_;
    const bool has_else = tokens_.next().text == "else";
    result->bodies.push_back(has_else ? inner_to("endfor") : Body());
    return result;
  }

  void refuse_loop_name(const Target& target, int line) const {
    for (const Target& element : target.elements) refuse_loop_name(element, line);
    if (!target.is_tuple && template_.names[target.symbol] == "loop") {
      fail_at(line, Failure::Kind::syntax, "Can't assign to special loop variable in for-loop");
    }
  }

  StatementPtr parse_set() {
    StatementPtr result = make(StatementKind::set);
    tokens_.next();
    result->target = expressions_.target({}, true);
    if (num_loops_ > 0 && result->target.attribute.empty()) {
      refuse_loop_name(result->target, result->line);
    }
    if (tokens_.skip_op("=")) {
      result->exprs.push_back(expressions_.tuple());
      return result;
    }
    result->kind = StatementKind::set_block;
    result->exprs.push_back(expressions_.filters(nullptr));
    result->bodies.push_back(inner_to("endset"));
    return result;
  }

  void parse_signature(Signature& signature) {
    tokens_.expect_op("(");
    while (!tokens_.current().is_op(")")) {
      if (!signature.parameters.empty()) tokens_.expect_op(",");
      const int line = tokens_.current().line;
      const Symbol symbol = expressions_.name_target().symbol;
      if (std::find(signature.parameters.begin(), signature.parameters.end(), symbol) !=
          signature.parameters.end()) {
        fail_at(line, Failure::Kind::syntax,
                fmt::format("the parameter '{}' is there twice", template_.names[symbol]));
      }
      signature.parameters.push_back(symbol);
      if (tokens_.skip_op("=")) {
        signature.defaults.push_back(expressions_.expression());
      } else if (!signature.defaults.empty()) {
        fail_at(line, Failure::Kind::syntax, "non-default argument follows default argument");
      }
    }
    tokens_.expect_op(")");
  }

  void parse_macro_body(Statement& result, std::string_view end) {
    MacroNames used;
    expressions_.macros().push_back(&used);
    const int loops = std::exchange(num_loops_, 0);
    const int conditions = std::exchange(expressions_.num_conditions(), 0);
    result.bodies.push_back(inner_to(end));
    expressions_.num_conditions() = conditions;
    num_loops_ = loops;
    expressions_.macros().pop_back();
    result.signature.uses_caller = used.caller;
    result.signature.uses_varargs = used.varargs;
    result.signature.uses_kwargs = used.kwargs;
  }

  StatementPtr parse_macro() {
    StatementPtr result = make(StatementKind::macro);
    tokens_.next();
    result->symbol = expressions_.name_target().symbol;
    result->text = template_.names[result->symbol];
    parse_signature(result->signature);
    parse_macro_body(*result, "endmacro");
    return result;
  }

  StatementPtr parse_call() {
    StatementPtr result = make(StatementKind::call_block);
    tokens_.next();
    if (tokens_.current().is_op("(")) parse_signature(result->signature);
    result->exprs.push_back(expressions_.expression());
    if (result->exprs[0]->kind != ExprKind::call) {
      fail_at(result->line, Failure::Kind::syntax, "expected call");
    }
    parse_macro_body(*result, "endcall");
    return result;
  }

  StatementPtr parse_filter() {
    StatementPtr result = make(StatementKind::filter_block);
    tokens_.next();
    result->exprs.push_back(expressions_.filters(nullptr, true));
    result->bodies.push_back(inner_to("endfilter"));
    return result;
  }

  StatementPtr parse_with() {
    StatementPtr result = make(StatementKind::with);
    tokens_.next();
    while (tokens_.current().kind != TokenKind::block_end) {
      if (!result->targets.empty()) tokens_.expect_op(",");
      result->targets.push_back(expressions_.target({}, false));
      tokens_.expect_op("=");
      result->exprs.push_back(expressions_.expression());
    }
    result->bodies.push_back(inner_to("endwith"));
    return result;
  }

  StatementPtr parse_print() {
    StatementPtr result = make(StatementKind::output);
    tokens_.next();
    while (tokens_.current().kind != TokenKind::block_end) {
      if (!result->exprs.empty()) tokens_.expect_op(",");
      result->exprs.push_back(expressions_.expression());
    }
    return result;
  }

  StatementPtr parse_generation() {
    StatementPtr result = make(StatementKind::scope);
    tokens_.next();
    const int loops = std::exchange(num_loops_, 0);
    result->bodies.push_back(inner_to("endgeneration"));
    num_loops_ = loops;
    return result;
  }

  StatementPtr parse_block() {
    StatementPtr result = make(StatementKind::block);
    tokens_.next();
    const std::string name = tokens_.any_name();
    tokens_.skip_name("scoped");
    if (tokens_.skip_name("required")) {
      result->kind = StatementKind::unsupported;
      result->text = "a required block";
    }
    const int loops = std::exchange(num_loops_, 0);
    result->bodies.push_back(inner_to("endblock"));
    num_loops_ = loops;
    tokens_.skip_name(name);
    return result;
  }

  StatementPtr parse_autoescape() {
    StatementPtr result = make(StatementKind::scope);
    tokens_.next();
    const ExprPtr value = expressions_.expression();
    if (value->kind != ExprKind::literal || is_true(value->value)) {
      result->kind = StatementKind::unsupported;
      result->text = "autoescape";
    }
    result->bodies.push_back(inner_to("endautoescape"));
    return result;
  }

  StatementPtr parse_loop_control(StatementKind kind) {
    StatementPtr result = make(kind);
    const std::string name = tokens_.next().text;
    if (num_loops_ == 0) {
      fail_at(result->line, Failure::Kind::syntax, fmt::format("'{}' outside loop", name));
    }
    return result;
  }
  StatementPtr parse_break() { return parse_loop_control(StatementKind::break_loop); }
  StatementPtr parse_continue() { return parse_loop_control(StatementKind::continue_loop); }

  /// A chat template has no other files. Jinja says so where the tag is reached.
  StatementPtr parse_other_file() {
    StatementPtr result = make(StatementKind::unsupported);
    result->text = fmt::format("the tag '{}'", tokens_.current().text);
    while (tokens_.current().kind != TokenKind::block_end) {
      if (tokens_.current().kind == TokenKind::end) tokens_.refuse("'%}'");
      tokens_.next();
    }
    return result;
  }

  Template template_;
  TokenStream tokens_;
  ExpressionParser expressions_;
  int depth_ = 0;
  int num_loops_ = 0;
};

}  // namespace

Template parse_template(std::string_view source) { return TemplateParser(source).parse(); }

}  // namespace quern::jinja
