#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "chat/jinja/builtins/parameters.h"
#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/builtins/text_tools.h"
#include "chat/jinja/run/interpreter.h"
#include "chat/jinja/value/percent_format.h"
#include "chat/jinja/value/str_format.h"

namespace quern::jinja {
namespace {

template <Side kSide>
Value strip_method(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("strip", arguments, {"chars"});
  run.heap().read(self.text().size() * (1 + (p.is_given(0) ? p.text(0).size() : 0)));
  return run.heap().string(stripped(self.text(), p.is_given(0) ? &p.text(0) : nullptr, kSide));
}

template <Case kCase>
Value case_method(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("str", arguments, {});
  return run.heap().string(with_case(run.heap(), self.text(), kCase));
}

template <bool kFromEnd>
Value split_method(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("split", arguments, {"sep", "maxsplit"});
  const std::int64_t max_splits = p.integer(1, -1);
  run.heap().read(self.text().size() * 4);
  run.heap().charge(self.text().cost());
  if (!p.is_given(0)) {
    return as_list(run.heap(), kFromEnd ? split_words_from_end(self.text(), max_splits)
                                        : split_words(self.text(), max_splits));
  }
  if (p.text(0).empty()) value_error("empty separator");
  return as_list(run.heap(), kFromEnd ? split_at_from_end(self.text(), p.text(0).view(), max_splits)
                                      : split_at(self.text(), p.text(0).view(), max_splits));
}

Value splitlines(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("splitlines", arguments, {"keepends"});
  run.heap().charge(self.text().cost());
  return as_list(run.heap(), split_lines(self.text(), p.flag(0, false)));
}

template <bool kFromEnd>
Value partition(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("partition", arguments, {"sep"}, 1);
  const Text& text = self.text();
  const Text& separator = p.text(0);
  if (separator.empty()) value_error("empty separator");
  Heap& heap = run.heap();
  heap.read(text.size());
  const std::size_t at =
      kFromEnd ? text.view().rfind(separator.view()) : text.view().find(separator.view());
  std::vector<Value> parts;
  if (at == std::string::npos) {
    const Value empty = heap.string(Text());
    parts =
        kFromEnd ? std::vector<Value>{empty, empty, self} : std::vector<Value>{self, empty, empty};
  } else {
    const std::size_t end = at + separator.size();
    parts = {heap.string(text.part(0, at)), p.get(0),
             heap.string(text.part(end, text.size() - end))};
  }
  return heap.list(std::move(parts), Kind::tuple);
}

Value replace_method(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("replace", arguments, {"old", "new", "count"}, 2);
  return run.heap().string(
      replaced(run.heap(), self.text(), p.text(0).view(), p.text(1), p.integer(2, -1)));
}

template <bool kSuffix>
Value remove_affix(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("removeprefix", arguments, {"affix"}, 1);
  const std::string_view affix = p.text(0).view();
  const Text& text = self.text();
  const bool is_there = kSuffix ? text.view().ends_with(affix) : text.view().starts_with(affix);
  if (!is_there) return self;
  return run.heap().string(text.part(kSuffix ? 0 : affix.size(), text.size() - affix.size()));
}

template <char kAlign>
Value justify(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("ljust", arguments, {"width", "fillchar"}, 1);
  if (p.has(1) && p.text(1).length() != 1) {
    type_error("The fill character must be exactly one character long");
  }
  return run.heap().string(
      aligned(run.heap(), self.text(), p.integer(0, 0), p.has(1) ? p.text(1).view() : " ", kAlign));
}

Value zfill(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("zfill", arguments, {"width"}, 1);
  const Text& text = self.text();
  const std::size_t sign =
      !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+') ? 1 : 0;
  Text out = text.part(0, sign);
  out.append(aligned(run.heap(), text.part(sign, text.size() - sign),
                     p.integer(0, 0) - static_cast<std::int64_t>(sign), "0", '>'));
  return run.heap().string(std::move(out));
}

Value join_method(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("join", arguments, {"iterable"}, 1);
  std::vector<Text> parts;
  for (const Value& item : run.items(p.get(0))) {
    if (!item.is(Kind::string)) {
      if (item.is(Kind::undefined)) undefined_error(item);
      type_error(fmt::format("sequence item {}: expected str instance, {} found", parts.size(),
                             type_name(item)));
    }
    run.heap().charge(item.text().cost());
    parts.push_back(item.text());
  }
  return run.heap().string(joined(run.heap(), parts, self.text()));
}

Value format_method(Interpreter& run, const Value& self, Arguments& arguments) {
  return run.heap().string(str_format(run, self.text(), arguments));
}

Value format_map(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("format_map", arguments, {"mapping"}, 1);
  if (!p.get(0).is(Kind::dict)) type_error("format_map() takes a mapping");
  Arguments named;
  for (const auto& [key, value] : p.get(0).dict().entries) {
    run.heap().charge(sizeof(Value) + 32);
    if (key.is(Kind::string)) named.named.emplace_back(key.text().bytes(), value);
  }
  return run.heap().string(str_format(run, self.text(), named));
}

Value expandtabs(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("expandtabs", arguments, {"tabsize"});
  const std::int64_t size = p.integer(0, 8);
  if (size > 1024) unsupported("a tab of more than 1024 spaces");
  Text out;
  std::int64_t column = 0;
  const Text& text = self.text();
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text.bytes()[at];
    if (c == '\t') {
      const std::int64_t spaces = size > 0 ? size - column % size : 0;
      run.heap().charge(static_cast<std::size_t>(spaces));
      out.append(std::string(static_cast<std::size_t>(spaces), ' '), text.is_untrusted_at(at));
      column += spaces;
      continue;
    }
    out.append(text, at, 1);
    if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) ++column;
    if (c == '\n' || c == '\r') column = 0;
  }
  run.heap().charge(text.cost());
  return run.heap().string(std::move(out));
}

constexpr NamedFilter kStringMethods[] = {
    {"strip", strip_method<Side::both>},
    {"lstrip", strip_method<Side::left>},
    {"rstrip", strip_method<Side::right>},
    {"lower", case_method<Case::lower>},
    {"casefold", case_method<Case::lower>},
    {"upper", case_method<Case::upper>},
    {"title", case_method<Case::title>},
    {"capitalize", case_method<Case::capitalize>},
    {"swapcase", case_method<Case::swap>},
    {"split", split_method<false>},
    {"rsplit", split_method<true>},
    {"splitlines", splitlines},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"replace", replace_method},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"ljust", justify<'<'>},
    {"rjust", justify<'>'>},
    {"center", justify<'c'>},
    {"zfill", zfill},
    {"join", join_method},
    {"format", format_method},
    {"format_map", format_map},
    {"expandtabs", expandtabs},
};

}  // namespace

Filter find_string_method(std::string_view name) {
  for (const auto& [known, method] : kStringMethods) {
    if (known == name) return method;
  }
  if (const Filter search = find_string_search_method(name)) return search;
  return find_string_class_method(name);
}

}  // namespace quern::jinja
