#include "chat/jinja/value/str_format.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <optional>
#include <string>

#include "chat/jinja/value/number.h"
#include "chat/jinja/value/percent_format.h"
#include "chat/jinja/value/print.h"
#include "quern/text.h"
#include "tokenizer/unicode/code_points.h"

namespace quern::jinja {
namespace {

std::optional<std::int64_t> as_index(std::string_view text) {
  std::int64_t index = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), index);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size() ||
      index < 0) {
    return std::nullopt;
  }
  return index;
}

/// [[fill]align][sign][#][0][width][,][.precision][type]
struct Specification {
  std::string fill = " ";
  char align = '\0';
  char sign = '\0';
  bool is_alternate = false;
  char grouping = '\0';
  std::int64_t width = 0;
  std::int64_t precision = -1;
  char type = '\0';
};

bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

Specification parse_specification(std::string_view text) {
  Specification spec;
  std::size_t at = 0;
  const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  const auto number = [&] {
    std::int64_t value = 0;
    while (std::isdigit(static_cast<unsigned char>(peek())) != 0) {
      if (value > 100'000'000) value_error("Too many decimal digits in format string");
      value = value * 10 + (text[at++] - '0');
    }
    return value;
  };
  if (!text.empty()) {
    const std::size_t first = code_point_at(text, 0).length_bytes;
    if (first < text.size() && is_align(text[first])) {
      spec.fill = std::string(text.substr(0, first));
      spec.align = text[first];
      at = first + 1;
    } else if (is_align(text[0])) {
      spec.align = text[0];
      at = 1;
    }
  }
  if (peek() == '+' || peek() == '-' || peek() == ' ') spec.sign = text[at++];
  if (peek() == '#') {
    spec.is_alternate = true;
    ++at;
  }
  if (peek() == '0') {
    ++at;
    if (spec.align == '\0') {
      spec.fill.assign(1, '0');
      spec.align = '=';
    }
  }
  spec.width = number();
  if (peek() == ',' || peek() == '_') spec.grouping = text[at++];
  if (peek() == '.') {
    ++at;
    if (std::isdigit(static_cast<unsigned char>(peek())) == 0) {
      value_error("Format specifier missing precision");
    }
    spec.precision = number();
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) value_error("Invalid format specifier");
  return spec;
}

void group_digits(std::string& digits, char separator) {
  std::size_t end = std::min(digits.find_first_of(".e"), digits.size());
  const std::size_t begin = digits.starts_with('-') ? 1 : 0;
  while (end > begin + 3) {
    end -= 3;
    digits.insert(end, 1, separator);
  }
}

Text format_value(Heap& heap, const Value& value, std::string_view written) {
  if (written.empty()) return printed(heap, value);
  const Specification spec = parse_specification(written);
  const bool as_number = value.is_number() && !(value.is(Kind::boolean) && spec.type == '\0');
  if (!as_number) {
    if (!value.is(Kind::string) && !value.is(Kind::boolean)) {
      if (value.is(Kind::undefined)) undefined_error(value);
      type_error(
          fmt::format("unsupported format string passed to {}.__format__", type_name(value)));
    }
    if ((spec.type != '\0' && spec.type != 's') || spec.align == '=') {
      value_error("Unknown format code for object of type 'str'");
    }
    Text text = printed(heap, value);
    if (spec.precision >= 0) {
      text = text.part(
          0, text.offset_of(std::min(text.length(), static_cast<std::size_t>(spec.precision))));
    }
    return aligned(heap, text, spec.width, spec.fill, spec.align == '\0' ? '<' : spec.align);
  }
  std::string digits;
  const bool is_float_type =
      std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos && spec.type != '\0';
  if (spec.type == '\0' && value.is(Kind::floating) && spec.precision < 0) {
    digits = float_repr(value.number());
  } else if (spec.type == '%') {
    digits = format_number(heap, Value::of(value.number() * 100), 'f', false, spec.precision) + "%";
  } else if (spec.type == '\0' && value.is(Kind::floating)) {
    unsupported("a precision without a type in format()");
  } else if (spec.type == '\0' || spec.type == 'd' || is_float_type ||
             std::string_view("xXob").find(spec.type) != std::string_view::npos) {
    if (!is_float_type && (value.is(Kind::floating) || spec.precision >= 0)) {
      value_error(
          value.is(Kind::floating)
              ? fmt::format("Unknown format code '{}' for object of type 'float'", spec.type)
              : std::string("Precision not allowed in integer format specifier"));
    }
    digits = format_number(heap, value, spec.type == '\0' ? 'd' : spec.type, spec.is_alternate,
                           spec.precision);
  } else {
    value_error(fmt::format("Unknown format code for object of type '{}'", type_name(value)));
  }
  if (spec.grouping != '\0') group_digits(digits, spec.grouping);
  std::string sign;
  if (digits.starts_with('-')) {
    sign = "-";
    digits.erase(0, 1);
  } else if (spec.sign == '+' || spec.sign == ' ') {
    sign = std::string(1, spec.sign);
  }
  if (spec.align == '=') {
    Text out(sign);
    out.append(aligned(heap, Text(digits), spec.width - static_cast<std::int64_t>(sign.size()),
                       spec.fill, '>'));
    return out;
  }
  return aligned(heap, Text(sign + digits), spec.width, spec.fill,
                 spec.align == '\0' ? '>' : spec.align);
}

class StrFormatter {
 public:
  StrFormatter(Interpreter& run, const Text& format, const Arguments& arguments)
      : run_(run), format_(format), arguments_(arguments) {}

  Text run() {
    run_.heap().charge(format_.size());
    const std::string_view bytes = format_.view();
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t brace = std::min(bytes.find_first_of("{}", at), bytes.size());
      out_.append(format_, at, brace - at);
      if (brace == bytes.size()) break;
      const char c = bytes[brace];
      if (bytes.substr(brace + 1, 1) == std::string_view(&c, 1)) {
        out_.append(format_, brace, 1);
        at = brace + 2;
        continue;
      }
      if (c == '}') value_error("Single '}' encountered in format string");
      const std::size_t end = bytes.find('}', brace);
      if (end == std::string_view::npos) value_error("Single '{' encountered in format string");
      const std::string_view field = bytes.substr(brace + 1, end - brace - 1);
      if (field.find('{') != std::string_view::npos) {
        unsupported("a field within a format specification");
      }
      append_field(field);
      at = end + 1;
    }
    return std::move(out_);
  }

 private:
  void append_field(std::string_view field) {
    run_.heap().step(2);
    std::string_view specification;
    if (const std::size_t colon = field.find(':'); colon != std::string_view::npos) {
      specification = field.substr(colon + 1);
      field = field.substr(0, colon);
    }
    char conversion = '\0';
    if (const std::size_t mark = field.rfind('!'); mark != std::string_view::npos) {
      if (mark + 2 != field.size()) value_error("expected ':' after conversion specifier");
      conversion = field[mark + 1];
      field = field.substr(0, mark);
    }
    Value value = lookup(field);
    if (conversion == 'r' || conversion == 's') {
      Text text;
      if (conversion == 'r') {
        print_repr(run_.heap(), value, text);
      } else {
        print(run_.heap(), value, text);
      }
      value = run_.heap().string(std::move(text));
    } else if (conversion != '\0') {
      value_error(fmt::format("Unknown conversion specifier '{}'", conversion));
    }
    const Text text = format_value(run_.heap(), value, specification);
    run_.heap().charge(text.cost());
    out_.append(text);
  }

  Value first(std::string_view name) {
    const auto& positional = arguments_.positional;
    std::optional<std::int64_t> index = as_index(name);
    if (name.empty()) index = next_++;
    if (index) {
      if (*index >= static_cast<std::int64_t>(positional.size())) {
        fail_at(0, Failure::Kind::runtime,
                fmt::format("IndexError: Replacement index {} out of range for positional args "
                            "tuple",
                            *index));
      }
      return positional[static_cast<std::size_t>(*index)];
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    fail_at(0, Failure::Kind::runtime, "KeyError: " + quoted_name(name));
  }

  Value lookup(std::string_view field) {
    std::size_t at = std::min(field.find_first_of(".["), field.size());
    Value value = first(field.substr(0, at));
    while (at < field.size()) {
      run_.heap().step();
      if (field[at] == '.') {
        const std::size_t end = std::min(field.find_first_of(".[", at + 1), field.size());
        value = run_.attribute(value, field.substr(at + 1, end - at - 1));
        at = end;
      } else {
        const std::size_t end = field.find(']', at);
        if (field[at] != '[' || end == std::string_view::npos) {
          value_error("Missing ']' in format string");
        }
        const std::string_view key = field.substr(at + 1, end - at - 1);
        const auto index = as_index(key);
        value = run_.item(value, index ? Value::of(*index) : run_.heap().string(std::string(key)));
        at = end + 1;
      }
    }
    return value;
  }

  Interpreter& run_;
  const Text& format_;
  const Arguments& arguments_;
  std::int64_t next_ = 0;
  Text out_;
};

}  // namespace

Text str_format(Interpreter& run, const Text& format, const Arguments& arguments) {
  return StrFormatter(run, format, arguments).run();
}

}  // namespace quern::jinja
