#include "tokenizer/pretokenize/regex.h"

#include <cstdint>

#include "base/error.h"
#include "base/text/pcre2.h"
#include "base/text/utf8.h"
#include "io/json/json.h"

namespace quern {
namespace {

/// White_Space as the inside of a character class. PCRE2's own `\s` also takes U+180E, and only
/// newer versions know the property by name.
std::string white_space_class() {
  return R"(\x{9}-\x{D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
}

/// Oniguruma's pattern as PCRE2 must see it.
std::string translate(std::string_view pattern, const std::string& where) {
  const auto refuse = [&](std::string_view what) {
    fail(ErrorCode::unsupported, "{}: pattern {}: {} is not supported", where, quoted_name(pattern),
         what);
  };
  const std::string spaces = white_space_class();
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's') {
        out += in_class ? spaces : fmt::format("[{}]", spaces);
      } else if (escaped == 'S' && !in_class) {
        out += fmt::format("[^{}]", spaces);
      } else if (std::string_view("SHhQEK").find(escaped) != std::string_view::npos) {
        refuse(fmt::format("\\{}{}", escaped, in_class ? " inside a class" : ""));
      } else {
        out += {c, escaped};
      }
      continue;
    }
    if (in_class && (c == '[' || pattern.substr(i, 2) == "&&")) refuse("a class inside a class");
    if (c == '[') {
      in_class = true;
      const std::size_t first = i + (pattern.substr(i, 2) == "[^" ? 2 : 1);
      if (pattern.substr(first, 1) == "]") refuse("']' at the start of a class");
    } else if (c == ']') {
      in_class = false;
    }
    out += c;
  }
  return out;
}

/// What a match costs: each item of the pattern, and the text passed since the last one. Both, as
/// an item such as `[^b]*` takes any amount of text at once.
struct MatchWork {
  MatchBudget* budget;
  PCRE2_SIZE position = 0;
};

int charge_item(pcre2_callout_block* block, void* data) {
  constexpr std::uint64_t kItem = 16;
  auto& work = *static_cast<MatchWork*>(data);
  const PCRE2_SIZE at = block->current_position;
  const std::uint64_t moved = at > work.position ? at - work.position : work.position - at;
  work.position = at;
  return work.budget->spend(kItem + moved) ? 0 : PCRE2_ERROR_CALLOUT;
}

pcre2::MatchContext limited_context(MatchWork& work) {
  constexpr pcre2::MatchLimits kLimits{.calls = 1'000'000, .depth = 100'000, .heap_kib = 64 << 10};
  pcre2::MatchContext context = pcre2::match_context(kLimits);
  pcre2_set_callout(context.get(), charge_item, &work);
  return context;
}

}  // namespace

struct Regex::Code {
  pcre2::Code pcre2;
};

Regex::Regex(const std::string& pattern, const std::string& where) : where_(where) {
  constexpr std::size_t kMaxPatternBytes = 64 << 10;
  if (pattern.size() > kMaxPatternBytes) {
    fail(ErrorCode::unsupported, "{}: a pattern of {} bytes, expected at most {}", where,
         pattern.size(), kMaxPatternBytes);
  }
  const std::string text = translate(pattern, where);
  // Oniguruma's ^ and $ match at every line.
  std::string error;
  pcre2::Code compiled = pcre2::compile(
      text, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT,
      error);
  if (compiled == nullptr) {
    fail(ErrorCode::unsupported, "{}: pattern {}: PCRE2 cannot compile it: {}", where,
         quoted_name(pattern), error);
  }
  // Without a just-in-time compiler the pattern is interpreted, which gives the same matches.
  pcre2_jit_compile(compiled.get(), PCRE2_JIT_COMPLETE);
  code_ = std::make_shared<const Code>(Code{std::move(compiled)});
}

void Regex::find_matches(std::string_view text, MatchBudget& budget,
                         const OnMatch& on_match) const {
  const pcre2_code* code = code_->pcre2.get();
  const pcre2::MatchData data = pcre2::match_data(code);
  MatchWork work{&budget};
  const pcre2::MatchContext context = limited_context(work);
  const auto match = [&](std::size_t from, std::uint32_t options) {
    return pcre2_match(code, pcre2::units(text), text.size(), from, options | PCRE2_NO_UTF_CHECK,
                       data.get(), context.get());
  };
  std::size_t done = 0;  // the end of the last match
  bool has_match = false;
  for (std::size_t from = 0; from <= text.size();) {
    int count = match(from, 0);
    // The interpreter's stack is the heap.
    if (count == PCRE2_ERROR_JIT_STACKLIMIT) count = match(from, PCRE2_NO_JIT);
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count == PCRE2_ERROR_CALLOUT) {
      fail(ErrorCode::invalid_argument,
           "{}: splitting the text failed at byte {} of {}: the pattern takes too much work",
           where_, from, text.size());
    }
    if (count < 0) {
      fail(ErrorCode::invalid_argument, "{}: splitting the text failed at byte {}: {}", where_,
           from, pcre2::message(count));
    }
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.get());
    const std::size_t begin = span[0];
    const std::size_t end = span[1];
    if (begin < from || end < begin) {  // \K in a look-around
      fail(ErrorCode::unsupported, "{}: the pattern's match at byte {} ends before it begins",
           where_, begin);
    }
    const bool is_empty_behind_match = begin == end && has_match && begin == done;
    if (!is_empty_behind_match) {
      on_match(begin, end);
      done = end;
      has_match = true;
    }
    if (begin < end) {
      from = end;
    } else if (end < text.size()) {
      from = end + first_utf8_piece(text.substr(end)).length_bytes;
    } else {
      break;
    }
  }
}

}  // namespace quern
