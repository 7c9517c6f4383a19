#include "weights/quant/module_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cstdint>
#include <new>

#include "base/error.h"
#include "quern/text.h"

namespace quern {
namespace {

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

/// Calls PCRE2's own release function.
template <auto kRelease>
struct Release {
  template <typename T>
  void operator()(T* object) const {
    kRelease(object);
  }
};

}  // namespace

struct ModulePattern::Expression {
  std::unique_ptr<pcre2_code, Release<pcre2_code_free>> code;
  std::string where;

  bool matches(std::string_view text, const std::string& pattern) const {
    constexpr std::uint32_t kMaxBacktracks = 100'000;
    constexpr std::uint32_t kMaxHeapKib = 4 << 10;
    const std::unique_ptr<pcre2_match_data, Release<pcre2_match_data_free>> data(
        pcre2_match_data_create_from_pattern(code.get(), nullptr));
    const std::unique_ptr<pcre2_match_context, Release<pcre2_match_context_free>> context(
        pcre2_match_context_create(nullptr));
    if (data == nullptr || context == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(context.get(), kMaxBacktracks);
    pcre2_set_depth_limit(context.get(), kMaxBacktracks);
    pcre2_set_heap_limit(context.get(), kMaxHeapKib);
    const int count = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                  text.size(), 0, PCRE2_ANCHORED, data.get(), context.get());
    if (count >= 0) return true;
    if (count == PCRE2_ERROR_NOMATCH) return false;
    fail(ErrorCode::unsupported, "{}: expression {}: matching {} failed: {}", where,
         quoted_name(pattern), quoted_name(text), pcre2_message(count));
  }
};

ModulePattern ModulePattern::expression(const std::string& text, const std::string& where) {
  constexpr std::size_t kMaxBytes = 4096;
  if (text.size() > kMaxBytes) {
    fail(ErrorCode::unsupported, "{}: an expression of {} bytes, expected at most {}", where,
         text.size(), kMaxBytes);
  }
  int error = 0;
  PCRE2_SIZE offset = 0;
  ModulePattern pattern;
  pattern.kind_ = Kind::expression;
  pattern.text_ = text;
  Expression compiled;
  compiled.where = where;
  compiled.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                    PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
  if (compiled.code == nullptr) {
    fail(ErrorCode::unsupported, "{}: expression {}: PCRE2 cannot compile it: {}", where,
         quoted_name(text), pcre2_message(error));
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
