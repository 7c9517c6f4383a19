#include "weights/quant/module_pattern.h"

#include "base/error.h"
#include "base/text/pcre2.h"
#include "quern/text.h"

namespace quern {
struct ModulePattern::Expression {
  pcre2::Code code;
  std::string where;

  bool matches(std::string_view text, const std::string& pattern) const {
    constexpr pcre2::MatchLimits kLimits{.calls = 100'000, .depth = 100'000, .heap_kib = 4 << 10};
    const pcre2::MatchData data = pcre2::match_data(code.get());
    const pcre2::MatchContext context = pcre2::match_context(kLimits);
    const int count = pcre2_match(code.get(), pcre2::units(text), text.size(), 0, PCRE2_ANCHORED,
                                  data.get(), context.get());
    if (count >= 0) return true;
    if (count == PCRE2_ERROR_NOMATCH) return false;
    fail(ErrorCode::unsupported, "{}: expression {}: matching {} failed: {}", where,
         quoted_name(pattern), quoted_name(text), pcre2::message(count));
  }
};

ModulePattern ModulePattern::expression(const std::string& text, const std::string& where) {
  constexpr std::size_t kMaxBytes = 4096;
  if (text.size() > kMaxBytes) {
    fail(ErrorCode::unsupported, "{}: an expression of {} bytes, expected at most {}", where,
         text.size(), kMaxBytes);
  }
  std::string error;
  ModulePattern pattern;
  pattern.kind_ = Kind::expression;
  pattern.text_ = text;
  Expression compiled;
  compiled.where = where;
  compiled.code = pcre2::compile(text, PCRE2_NEVER_BACKSLASH_C, error);
  if (compiled.code == nullptr) {
    fail(ErrorCode::unsupported, "{}: expression {}: PCRE2 cannot compile it: {}", where,
         quoted_name(text), error);
  }
  pattern.expression_ = std::make_shared<const Expression>(std::move(compiled));
  return pattern;
}

ModulePattern ModulePattern::target(const std::string& text, const std::string& where) {
  constexpr std::string_view kExpression = "re:";
  if (text.starts_with(kExpression)) return expression(text.substr(kExpression.size()), where);
  ModulePattern pattern;
  pattern.kind_ = text == "Linear" ? Kind::linear_class : Kind::name;
  pattern.text_ = text;
  return pattern;
}

ModulePattern ModulePattern::excluded(const std::string& text) {
  ModulePattern pattern;
  pattern.kind_ = Kind::name;
  pattern.is_excluded_ = true;
  pattern.text_ = text;
  return pattern;
}

bool ModulePattern::matches(std::string_view module) const {
  switch (kind_) {
    case Kind::none:
      return false;
    case Kind::linear_class:
      return true;
    case Kind::expression:
      return expression_->matches(module, text_);
    case Kind::name:
      break;
  }
  if (module == text_) return true;
  if (!is_excluded_ || text_.empty()) return false;
  return module.starts_with(text_ + ".") || module.ends_with("." + text_);
}

}  // namespace quern
