#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "chat/jinja/value/number.h"
#include "chat/jinja/value/print.h"
#include "tokenizer/unicode/code_points.h"

namespace quern::jinja {
namespace {

/// json.dumps of CPython. Source: Lib/json/encoder.py.
class JsonWriter {
 public:
  JsonWriter(Heap& heap, const JsonStyle& style) : heap_(heap), style_(style) {}

  void write(const Value& value, int depth) {
    if (depth > kMaxValueDepth) too_deep();
    heap_.step();
    switch (value.kind()) {
      case Kind::none:
        return out_.append("null");
      case Kind::boolean:
        return out_.append(value.boolean() ? "true" : "false");
      case Kind::integer:
        return out_.append(std::to_string(value.integer()));
      case Kind::floating:
        return out_.append(number(value.number()));
      case Kind::string:
        return write_string(value.text());
      case Kind::list:
      case Kind::tuple:
        return write_list(value.list().items, depth);
      case Kind::dict:
        return write_dict(value.dict(), depth);
      default:
        type_error(fmt::format("Object of type {} is not JSON serializable", type_name(value)));
    }
  }

  Text take() { return std::move(out_); }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_repr(value);
  }

  void new_line(int depth) {
    if (!style_.is_indented) return;
    heap_.charge(style_.indent.size() * static_cast<std::size_t>(depth) + 1);
    out_.append("\n");
    for (int i = 0; i < depth; ++i) out_.append(style_.indent);
  }

  void separate(bool& is_first, int depth) {
    if (!is_first) out_.append(style_.item_separator);
    is_first = false;
    new_line(depth + 1);
  }

  void write_list(const std::vector<Value>& items, int depth) {
    if (items.empty()) return out_.append("[]");
    out_.append("[");
    bool is_first = true;
    for (const Value& item : items) {
      separate(is_first, depth);
      write(item, depth + 1);
    }
    new_line(depth);
    out_.append("]");
  }

  void write_dict(const Dict& dict, int depth) {
    if (dict.entries.empty()) return out_.append("{}");
    auto entries = dict.entries;
    heap_.charge(entries.size() * sizeof entries[0]);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
        return compare(a.first, b.first, "<") == -1;
      });
    }
    out_.append("{");
    bool is_first = true;
    for (const auto& [key, value] : entries) {
      separate(is_first, depth);
      write_key(key);
      out_.append(style_.key_separator);
      write(value, depth + 1);
    }
    new_line(depth);
    out_.append("}");
  }

  void write_key(const Value& key) {
    switch (key.kind()) {
      case Kind::string:
        return write_string(key.text());
      case Kind::none:
      case Kind::boolean:
      case Kind::integer:
      case Kind::floating:
        out_.append("\"");
        write(key, 0);
        return out_.append("\"");
      default:
        type_error(
            fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
    }
  }

  std::string escaped(char32_t c) const {
    switch (c) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      case '\b':
        return "\\b";
      case '\f':
        return "\\f";
      default:
        break;
    }
    auto n = static_cast<unsigned>(c);
    if (n >= 0x20 && !style_.ensure_ascii) return {};
    if (n < 0x10000) return fmt::format("\\u{:04x}", n);
    n -= 0x10000;
    return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (n >> 10), 0xDC00 + (n & 0x3FF));
  }

  void write_string(const Text& text) {
    heap_.charge(text.size());
    out_.append("\"");
    std::size_t done = 0;
    for_each_code_point(text.view(), [&](char32_t c, std::size_t at, std::size_t length) {
      if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') return;
      const std::string replacement = escaped(c);
      if (replacement.empty()) return;
      out_.append(text, done, at - done);
      out_.append(replacement, text.is_untrusted_at(at));
      done = at + length;
    });
    out_.append(text, done, text.size() - done);
    out_.append("\"");
  }

  Heap& heap_;
  const JsonStyle& style_;
  Text out_;
};

}  // namespace

Text to_json(Heap& heap, const Value& value, const JsonStyle& style) {
  JsonWriter writer(heap, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace quern::jinja
