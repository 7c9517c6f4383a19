#include <algorithm>
#include <string>

#include "chat/jinja/builtins/parameters.h"
#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/run/interpreter.h"
#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern::jinja {
namespace {

/// The part of a text that a method's start and end name, by bytes.
struct Window {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool is_empty = false;  ///< start behind the end: nothing is found, not even ""
};

Window window_of(Interpreter& run, const Text& text, const Parameters& p) {
  run.heap().read(text.size() * 2);
  Window window{0, text.size(), false};
  if (!p.is_given(1) && !p.is_given(2)) return window;
  const auto length = static_cast<std::int64_t>(text.length());
  const auto place = [&](std::size_t i, std::int64_t otherwise) {
    std::int64_t at = p.is_given(i) ? p.integer(i, 0) : otherwise;
    if (at < 0) at = std::max<std::int64_t>(at + length, 0);
    return at;
  };
  const std::int64_t begin = place(1, 0);
  const std::int64_t end = std::min(place(2, length), length);
  if (begin > end) return {0, 0, true};
  return {text.offset_of(static_cast<std::size_t>(begin)),
          text.offset_of(static_cast<std::size_t>(end)), false};
}

bool is_affix(std::string_view text, const Value& affix, bool at_end) {
  if (affix.is(Kind::undefined)) undefined_error(affix);
  if (!affix.is(Kind::string)) {
    type_error(std::string(at_end ? "endswith" : "startswith") +
               " first arg must be str or a tuple of str, not " + type_name(affix));
  }
  return at_end ? text.ends_with(affix.text().view()) : text.starts_with(affix.text().view());
}

template <bool kAtEnd>
Value has_affix(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p(kAtEnd ? "endswith" : "startswith", arguments, {"affix", "start", "end"}, 1);
  const Window window = window_of(run, self.text(), p);
  if (window.is_empty) return Value::of(false);
  const std::string_view text = self.text().view().substr(window.begin, window.end - window.begin);
  const Value affix = p.get(0);
  if (!affix.is(Kind::tuple)) return Value::of(is_affix(text, affix, kAtEnd));
  for (const Value& one : affix.list().items) {
    run.heap().step();
    if (is_affix(text, one, kAtEnd)) return Value::of(true);
  }
  return Value::of(false);
}

template <bool kFromEnd, bool kFails>
Value find(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p(kFails ? "index" : "find", arguments, {"sub", "start", "end"}, 1);
  const Window window = window_of(run, self.text(), p);
  const std::string_view text = self.text().view().substr(window.begin, window.end - window.begin);
  const std::string_view needle = p.text(0).view();
  const std::size_t at = window.is_empty ? std::string::npos
                         : kFromEnd      ? text.rfind(needle)
                                         : text.find(needle);
  if (at == std::string::npos) {
    if (kFails) value_error("substring not found");
    return Value::of(std::int64_t{-1});
  }
  const Text before = self.text().part(0, window.begin + at);
  return Value::of(static_cast<std::int64_t>(before.length()));
}

Value count(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("count", arguments, {"sub", "start", "end"}, 1);
  const Window window = window_of(run, self.text(), p);
  const Text text = self.text().part(window.begin, window.end - window.begin);
  const std::string_view needle = p.text(0).view();
  if (window.is_empty) return Value::of(std::int64_t{0});
  if (needle.empty()) return Value::of(static_cast<std::int64_t>(text.length()) + 1);
  std::int64_t found = 0;
  for (std::size_t at = text.view().find(needle); at != std::string::npos;
       at = text.view().find(needle, at + needle.size())) {
    ++found;
  }
  return Value::of(found);
}

// What all characters of a string are.
using CharacterTest = bool (*)(char32_t c);

bool is_alpha(char32_t c) { return is_letter(c); }
bool is_decimal(char32_t c) { return category_of(c) == Category::nd; }
bool is_digit_like(char32_t c) {
  return is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 ||
         (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) ||
         (c >= 0x2460 && c <= 0x2468);
}
bool is_alnum(char32_t c) { return is_alpha(c) || is_number(c); }
bool is_space(char32_t c) { return is_python_space(c); }
bool is_printable_character(char32_t c) { return c == ' ' || category_of(c) < Category::zs; }

template <CharacterTest kTest, bool kOfEmpty = false>
Value all_are(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("str", arguments, {});
  run.heap().read(self.text().size() * 8);
  bool holds = kOfEmpty || !self.text().empty();
  for_each_code_point(self.text().view(),
                      [&](char32_t c, std::size_t, std::size_t) { holds = holds && kTest(c); });
  return Value::of(holds);
}

Value isascii(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters p("isascii", arguments, {});
  return Value::of(self.text().is_ascii());
}

Value isidentifier(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("isidentifier", arguments, {});
  run.heap().read(self.text().size() * 8);
  bool holds = !self.text().empty();
  for_each_code_point(self.text().view(), [&](char32_t c, std::size_t at, std::size_t) {
    holds = holds && (c == '_' || is_letter(c) || (at > 0 && is_word_character(c)));
  });
  return Value::of(holds);
}

/// All cased characters of this case, at least one.
template <bool kUpper>
Value has_case(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("str", arguments, {});
  run.heap().read(self.text().size() * 8);
  return Value::of(find_test(kUpper ? "upper" : "lower")(run, self, arguments));
}

Value istitle(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("istitle", arguments, {});
  run.heap().read(self.text().size() * 8);
  bool holds = true;
  bool any = false;
  bool in_word = false;
  for_each_code_point(self.text().view(), [&](char32_t c, std::size_t, std::size_t) {
    const Category category = category_of(c);
    if (category == Category::lu || category == Category::lt) {
      holds = holds && !in_word;
      any = in_word = true;
    } else if (category == Category::ll) {
      holds = holds && in_word;
      any = in_word = true;
    } else {
      in_word = false;
    }
  });
  return Value::of(holds && any);
}

constexpr NamedFilter kSearchMethods[] = {
    {"startswith", has_affix<false>},
    {"endswith", has_affix<true>},
    {"find", find<false, false>},
    {"rfind", find<true, false>},
    {"index", find<false, true>},
    {"rindex", find<true, true>},
    {"count", count},
};

constexpr NamedFilter kClassMethods[] = {
    {"isalpha", all_are<is_alpha>},
    {"isalnum", all_are<is_alnum>},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit_like>},
    {"isnumeric", all_are<is_number>},
    {"isspace", all_are<is_space>},
    {"isprintable", all_are<is_printable_character, true>},
    {"isascii", isascii},
    {"isidentifier", isidentifier},
    {"islower", has_case<false>},
    {"isupper", has_case<true>},
    {"istitle", istitle},
};

}  // namespace

Filter find_string_search_method(std::string_view name) {
  for (const auto& [known, method] : kSearchMethods) {
    if (known == name) return method;
  }
  return nullptr;
}

Filter find_string_class_method(std::string_view name) {
  for (const auto& [known, method] : kClassMethods) {
    if (known == name) return method;
  }
  return nullptr;
}

}  // namespace quern::jinja
