#include "chat/jinja/value/print.h"

#include <fmt/format.h>

#include "chat/jinja/value/callable.h"
#include "chat/jinja/value/number.h"
#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern::jinja {
namespace {

bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  const Category category = category_of(c);
  return category < Category::zs || (category == Category::zs && c == ' ');
}

void print_string_repr(Heap& heap, const Text& text, Text& out) {
  heap.read(text.size() * 4);
  const std::string_view bytes = text.view();
  const bool has_single = bytes.find('\'') != std::string::npos;
  const char quote = has_single && bytes.find('"') == std::string::npos ? '"' : '\'';
  out.append(std::string_view(&quote, 1));
  std::size_t done = 0;
  const auto escape = [&](std::size_t at, std::size_t length, const std::string& replacement) {
    out.append(text, done, at - done);
    out.append(replacement, text.is_untrusted_at(at));
    done = at + length;
  };
  for_each_code_point(bytes, [&](char32_t c, std::size_t at, std::size_t length) {
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      escape(at, length, std::string("\\") + static_cast<char>(c));
    } else if (c == '\n' || c == '\r' || c == '\t') {
      escape(at, length, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else if (!is_printable(c)) {
      const auto n = static_cast<unsigned>(c);
      escape(at, length,
             n < 0x100     ? fmt::format("\\x{:02x}", n)
             : n < 0x10000 ? fmt::format("\\u{:04x}", n)
                           : fmt::format("\\U{:08x}", n));
    }
  });
  out.append(text, done, text.size() - done);
  out.append(std::string_view(&quote, 1));
}

void print_items(Heap& heap, const std::vector<Value>& items, Text& out, int depth) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(", ");
    print_repr(heap, items[i], out, depth + 1);
  }
}

void print_entries(Heap& heap, const Dict& dict, Text& out, int depth) {
  out.append("{");
  bool is_first = true;
  for (const auto& [key, value] : dict.entries) {
    if (!is_first) out.append(", ");
    is_first = false;
    print_repr(heap, key, out, depth + 1);
    out.append(": ");
    print_repr(heap, value, out, depth + 1);
  }
  out.append("}");
}

}  // namespace

void print_repr(Heap& heap, const Value& value, Text& out, int depth) {
  if (depth > kMaxValueDepth) too_deep();
  heap.step();
  if (out.size() > heap.limits().max_bytes) heap.charge(out.size());
  switch (value.kind()) {
    case Kind::undefined:
      return out.append("Undefined");
    case Kind::none:
      return out.append("None");
    case Kind::boolean:
      return out.append(value.boolean() ? "True" : "False");
    case Kind::integer:
      return out.append(std::to_string(value.integer()));
    case Kind::floating:
      return out.append(float_repr(value.number()));
    case Kind::string:
      return print_string_repr(heap, value.text(), out);
    case Kind::list:
      out.append("[");
      print_items(heap, value.list().items, out, depth);
      return out.append("]");
    case Kind::tuple:
      out.append("(");
      print_items(heap, value.list().items, out, depth);
      return out.append(value.list().items.size() == 1 ? ",)" : ")");
    case Kind::dict:
      return print_entries(heap, value.dict(), out, depth);
    case Kind::range: {
      const auto& bounds = value.list().bounds;
      out.append(bounds[2] == 1
                     ? fmt::format("range({}, {})", bounds[0], bounds[1])
                     : fmt::format("range({}, {}, {})", bounds[0], bounds[1], bounds[2]));
      return;
    }
    case Kind::dict_view:
      out.append(value.list().view);
      out.append("([");
      print_items(heap, value.list().items, out, depth);
      return out.append("])");
    case Kind::name_space:
      out.append("<Namespace ");
      print_entries(heap, value.name_space().attributes, out, depth);
      return out.append(">");
    case Kind::callable:
      return out.append(fmt::format("<function {}>", value.callable().name()));
    default:
      return out.append(fmt::format("<{} object>", type_name(value)));
  }
}

void print(Heap& heap, const Value& value, Text& out) {
  if (value.is(Kind::string)) {
    heap.read(value.text().size());
    out.append(value.text());
  } else if (!value.is(Kind::undefined)) {
    print_repr(heap, value, out);
  }
}

Text printed(Heap& heap, const Value& value) {
  if (value.is(Kind::string)) return value.text();
  Text out;
  print(heap, value, out);
  return out;
}

}  // namespace quern::jinja
