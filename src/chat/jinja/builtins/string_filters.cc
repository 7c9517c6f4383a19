#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "chat/jinja/builtins/parameters.h"
#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/builtins/text_tools.h"
#include "chat/jinja/run/interpreter.h"
#include "chat/jinja/value/percent_format.h"
#include "chat/jinja/value/print.h"
#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern::jinja {
namespace {

/// What filters of strings do with other values: str(value).
Text text_of(Interpreter& run, const Value& value) { return printed(run.heap(), value); }

template <Case kCase>
Value case_filter(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("filter", arguments, {});
  return run.heap().string(with_case(run.heap(), text_of(run, self), kCase));
}

/// Jinja's title() begins words at spaces, hyphens and opening brackets alone.
Value title_filter(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("title", arguments, {});
  const Text text = text_of(run, self);
  const auto is_border = [](char32_t c) {
    return is_python_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  Text out;
  std::size_t begin = 0;
  const std::string_view bytes = text.view();
  for (std::size_t at = 0; at <= bytes.size();) {
    const bool at_end = at == bytes.size();
    const CodePoint c = at_end ? CodePoint{' ', 1} : code_point_at(bytes, at);
    if (!at_end && !is_border(c.value)) {
      at += c.length_bytes;
      continue;
    }
    out.append(with_case(run.heap(), text.part(begin, at - begin), Case::capitalize));
    if (at_end) break;
    out.append(text, at, c.length_bytes);
    at += c.length_bytes;
    begin = at;
  }
  return run.heap().string(std::move(out));
}

Value trim(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("trim", arguments, {"chars"});
  const Text text = text_of(run, self);
  run.heap().read(text.size());
  return run.heap().string(stripped(text, p.is_given(0) ? &p.text(0) : nullptr, Side::both));
}

Value replace(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("replace", arguments, {"old", "new", "count"}, 2);
  return run.heap().string(replaced(run.heap(), text_of(run, self), text_of(run, p.get(0)).view(),
                                    text_of(run, p.get(1)), p.is_given(2) ? p.integer(2, -1) : -1));
}

Value string(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("string", arguments, {});
  return self.is(Kind::string) ? self : run.heap().string(text_of(run, self));
}

/// Without autoescape "safe" and the like change nothing that can be seen.
Value same_text(Interpreter& run, const Value& self, Arguments& arguments) {
  return string(run, self, arguments);
}

Value escape(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("escape", arguments, {});
  const Text text = text_of(run, self);
  run.heap().charge(text.cost());
  Text out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text.bytes()[at];
    const char* entity = c == '&'    ? "&amp;"
                         : c == '<'  ? "&lt;"
                         : c == '>'  ? "&gt;"
                         : c == '\'' ? "&#39;"
                         : c == '"'  ? "&#34;"
                                     : nullptr;
    if (entity == nullptr) {
      out.append(text, at, 1);
    } else {
      out.append(entity, text.is_untrusted_at(at));
    }
  }
  return run.heap().string(std::move(out));
}

Value urlencode(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("urlencode", arguments, {});
  if (!self.is(Kind::string) && self.is(Kind::dict)) unsupported("urlencode of a mapping");
  const Text text = text_of(run, self);
  run.heap().charge(text.cost() * 3);
  Text out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto c = static_cast<unsigned char>(text.bytes()[at]);
    const bool is_plain = c < 0x80 && (std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-' ||
                                       c == '~' || c == '/');
    if (is_plain) {
      out.append(text, at, 1);
    } else {
      out.append(fmt::format("%{:02X}", c), text.is_untrusted_at(at));
    }
  }
  return run.heap().string(std::move(out));
}

Value indent(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("indent", arguments, {"width", "first", "blank"});
  if (!self.is(Kind::string)) {
    if (self.is(Kind::undefined)) undefined_error(self);
    type_error(fmt::format("unsupported operand type(s) for +=: '{}' and 'str'", type_name(self)));
  }
  Text indention;
  if (p.has(0) && p.get(0).is(Kind::string)) {
    indention = p.text(0);
  } else {
    indention = aligned(run.heap(), Text(), p.integer(0, 4), " ", '<');
  }
  Text text = self.text();
  run.heap().charge(text.cost());
  text.append("\n");
  const std::vector<Text> lines = split_lines(text, false);
  const bool with_blank = p.flag(2, false);
  Text out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    run.heap().charge(lines[i].cost() + indention.cost());
    if (i > 0) out.append("\n");
    if (i == 0 ? p.flag(1, false) : with_blank || !lines[i].empty()) out.append(indention);
    out.append(lines[i]);
  }
  return run.heap().string(std::move(out));
}

Value center(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("center", arguments, {"width"});
  return run.heap().string(aligned(run.heap(), text_of(run, self), p.integer(0, 80), " ", 'c'));
}

Value truncate(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("truncate", arguments, {"length", "killwords", "end", "leeway"});
  if (!self.is(Kind::string)) {
    if (self.is(Kind::undefined)) return run.heap().string(Text());
    type_error(fmt::format("object of type '{}' has no len()", type_name(self)));
  }
  const Text ellipsis = p.has(2) ? p.text(2) : Text("...");
  const std::int64_t length = p.integer(0, 255);
  const std::int64_t leeway = p.is_given(3) ? p.integer(3, 5) : 5;
  const auto end_length = static_cast<std::int64_t>(ellipsis.length());
  if (length < end_length || leeway < 0) {
    fail_at(0, Failure::Kind::runtime,
            fmt::format("AssertionError: expected length >= {}, got {}", end_length, length));
  }
  const Text& text = self.text();
  run.heap().read(text.size());
  const auto own_length = static_cast<std::int64_t>(text.length());
  if (own_length - leeway <= length) return self;
  Text out = text.part(0, text.offset_of(static_cast<std::size_t>(length - end_length)));
  if (!p.flag(1, false)) out = split_at_from_end(out, " ", 1).front();
  out.append(ellipsis);
  return run.heap().string(std::move(out));
}

Value wordcount(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("wordcount", arguments, {});
  const Text text = text_of(run, self);
  run.heap().read(text.size() * 4);
  std::int64_t words = 0;
  bool in_word = false;
  for_each_code_point(text.view(), [&](char32_t c, std::size_t, std::size_t) {
    const bool is_word = c == '_' || is_letter(c) || is_number(c);
    if (is_word && !in_word) ++words;
    in_word = is_word;
  });
  return Value::of(words);
}

Value format(Interpreter& run, const Value& self, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    type_error("can't handle positional and keyword arguments at the same time");
  }
  Value values;
  if (arguments.named.empty()) {
    values = run.heap().list(arguments.positional, Kind::tuple);
  } else {
    values = run.heap().dict();
    for (const auto& [key, value] : arguments.named) {
      run.heap().set(values.dict(), run.heap().string(key), value);
    }
  }
  return run.heap().string(percent_format(run.heap(), text_of(run, self), values));
}

Value striptags(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("striptags", arguments, {});
  const Text text = text_of(run, self);
  run.heap().charge(text.cost() * 2);
  if (text.view().find('&') != std::string::npos) unsupported("striptags of a text with entities");
  Text out;
  const std::string_view bytes = text.view();
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t open = std::min(bytes.find('<', at), bytes.size());
    out.append(text, at, open - at);
    if (open == bytes.size()) break;
    const bool is_comment = bytes.substr(open, 4) == "<!--";
    const std::size_t close = is_comment ? bytes.find("-->", open) : bytes.find('>', open);
    if (close == std::string_view::npos) {
      out.append(text, open, bytes.size() - open);
      break;
    }
    at = close + (is_comment ? 3 : 1);
  }
  return run.heap().string(joined(run.heap(), split_words(out, -1), Text(" ")));
}

constexpr NamedFilter kStringFilters[] = {
    {"lower", case_filter<Case::lower>},
    {"upper", case_filter<Case::upper>},
    {"capitalize", case_filter<Case::capitalize>},
    {"title", title_filter},
    {"trim", trim},
    {"replace", replace},
    {"string", string},
    {"safe", same_text},
    {"escape", escape},
    {"e", escape},
    {"forceescape", escape},
    {"urlencode", urlencode},
    {"indent", indent},
    {"center", center},
    {"truncate", truncate},
    {"wordcount", wordcount},
    {"format", format},
    {"striptags", striptags},
};

}  // namespace

Filter find_string_filter(std::string_view name) {
  for (const auto& [known, filter] : kStringFilters) {
    if (known == name) return filter;
  }
  return nullptr;
}

}  // namespace quern::jinja
