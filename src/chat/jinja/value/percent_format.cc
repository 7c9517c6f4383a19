#include "chat/jinja/value/percent_format.h"

#include <fmt/format.h>

#include <cctype>
#include <cmath>
#include <cstdio>
#include <string>

#include "base/text/utf8.h"
#include "chat/jinja/value/number.h"
#include "chat/jinja/value/print.h"

namespace quern::jinja {
namespace {

constexpr std::int64_t kMaxPrecision = 400;

std::string format_integer(std::int64_t value, char conversion, bool is_alternate) {
  const bool is_negative = value < 0;
  const auto magnitude =
      is_negative ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
  const std::string sign = is_negative ? "-" : "";
  switch (conversion) {
    case 'x':
      return sign + (is_alternate ? "0x" : "") + fmt::format("{:x}", magnitude);
    case 'X':
      return sign + (is_alternate ? "0X" : "") + fmt::format("{:X}", magnitude);
    case 'o':
      return sign + (is_alternate ? "0o" : "") + fmt::format("{:o}", magnitude);
    case 'b':
      return sign + (is_alternate ? "0b" : "") + fmt::format("{:b}", magnitude);
    default:
      return sign + fmt::format("{}", magnitude);
  }
}

/// Reads one format as Python's unicode_format.
class PercentFormatter {
 public:
  PercentFormatter(Heap& heap, const Text& format, const Value& arguments)
      : heap_(heap), format_(format), bytes_(format.view()), arguments_(arguments) {}

  Text run() {
    heap_.charge(format_.size());
    while (at_ < bytes_.size()) {
      const std::size_t percent = std::min(bytes_.find('%', at_), bytes_.size());
      out_.append(format_, at_, percent - at_);
      at_ = percent;
      if (at_ < bytes_.size()) read_conversion();
    }
    const bool is_consumed =
        arguments_.is(Kind::tuple)
            ? next_ >= arguments_.list().items.size()
            : next_ > 0 || used_mapping_ || arguments_.is(Kind::dict) || arguments_.is(Kind::list);
    if (!is_consumed) type_error("not all arguments converted during string formatting");
    return std::move(out_);
  }

 private:
  char peek() const { return at_ < bytes_.size() ? bytes_[at_] : '\0'; }

  const Value& next_argument() {
    if (arguments_.is(Kind::tuple)) {
      if (next_ >= arguments_.list().items.size()) {
        type_error("not enough arguments for format string");
      }
      return arguments_.list().items[next_++];
    }
    if (next_++ > 0) type_error("not enough arguments for format string");
    return arguments_;
  }

  std::int64_t read_count() {
    if (peek() == '*') {
      ++at_;
      const Value& count = next_argument();
      if (!count.is_integral()) type_error("* wants int");
      return count.integer();
    }
    std::int64_t count = 0;
    while (std::isdigit(static_cast<unsigned char>(peek())) != 0) {
      if (count > 1'000'000'000) value_error("width too big");
      count = count * 10 + (bytes_[at_++] - '0');
    }
    return count;
  }

  void read_conversion() {
    const std::size_t begin = at_++;
    const Value* keyed = nullptr;
    if (peek() == '(') {
      const std::size_t end = bytes_.find(')', at_);
      if (end == std::string_view::npos) value_error("incomplete format key");
      if (!arguments_.is(Kind::dict)) type_error("format requires a mapping");
      const std::string_view key = bytes_.substr(at_ + 1, end - at_ - 1);
      keyed = arguments_.dict().find(key);
      if (keyed == nullptr) {
        fail_at(0, Failure::Kind::runtime, fmt::format("KeyError: '{}'", key));
      }
      used_mapping_ = true;
      at_ = end + 1;
    }
    bool left = false;
    bool zero = false;
    bool alternate = false;
    char sign = '\0';
    for (;; ++at_) {
      const char c = peek();
      if (c == '-') {
        left = true;
      } else if (c == '0') {
        zero = true;
      } else if (c == '#') {
        alternate = true;
      } else if (c == '+' || (c == ' ' && sign != '+')) {
        sign = c;
      } else if (c != ' ') {
        break;
      }
    }
    std::int64_t width = read_count();
    if (width < 0) {
      left = true;
      width = -width;
    }
    std::int64_t precision = -1;
    if (peek() == '.') {
      ++at_;
      precision = std::max<std::int64_t>(read_count(), 0);
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++at_;
    const char conversion = peek();
    if (conversion == '\0') value_error("incomplete format");
    ++at_;
    if (conversion == '%') return out_.append("%");
    const Value& value = keyed != nullptr ? *keyed : next_argument();
    Text text = converted(value, conversion, alternate, precision, begin);
    const bool is_number =
        conversion != 's' && conversion != 'r' && conversion != 'a' && conversion != 'c';
    if (is_number && sign != '\0' && !text.view().starts_with('-')) {
      Text with_sign(std::string(1, sign));
      with_sign.append(text);
      text = std::move(with_sign);
    }
    if (is_number && zero && !left) return append_zero_padded(text, width);
    out_.append(aligned(heap_, text, width, " ", left ? '<' : '>'));
  }

  Text converted(const Value& value, char conversion, bool alternate, std::int64_t precision,
                 std::size_t begin) {
    Text text;
    switch (conversion) {
      case 's':
      case 'r':
        if (conversion == 's') {
          print(heap_, value, text);
        } else {
          print_repr(heap_, value, text);
        }
        heap_.charge(text.cost());
        if (precision >= 0) {
          const auto length = static_cast<std::size_t>(precision);
          text = text.part(0, text.offset_of(std::min(length, text.length())));
        }
        return text;
      case 'c':
        if (value.is(Kind::string) && value.text().length() == 1) return value.text();
        if (value.is_integral() && value.integer() >= 0 && value.integer() < 0x110000 &&
            (value.integer() < 0xD800 || value.integer() > 0xDFFF)) {
          std::string character;
          append_utf8(static_cast<char32_t>(value.integer()), character);
          return Text(character);
        }
        type_error("%c requires int or char");
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return Text(format_number(heap_, value, conversion, alternate, precision));
      default:
        value_error(fmt::format("unsupported format character at index {}", begin + 1));
    }
  }

  void append_zero_padded(const Text& text, std::int64_t width) {
    const bool has_sign = !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+' ||
                                            text.bytes()[0] == ' ');
    const std::size_t sign = has_sign ? 1 : 0;
    out_.append(text, 0, sign);
    out_.append(aligned(heap_, text.part(sign, text.size() - sign),
                        width - static_cast<std::int64_t>(sign), "0", '>'));
  }

  Heap& heap_;
  const Text& format_;
  std::string_view bytes_;
  const Value& arguments_;
  std::size_t at_ = 0;
  std::size_t next_ = 0;
  bool used_mapping_ = false;
  Text out_;
};

}  // namespace

std::string format_number(Heap& heap, const Value& value, char conversion, bool is_alternate,
                          std::int64_t precision) {
  if (value.is(Kind::undefined)) undefined_error(value);
  if (!value.is_number()) {
    type_error(
        fmt::format("%{} format: a real number is required, not {}", conversion, type_name(value)));
  }
  const bool is_integer_form =
      std::string_view("diuxXob").find(conversion) != std::string_view::npos;
  if (is_integer_form) {
    std::int64_t integer = value.integer();
    if (value.is(Kind::floating)) {
      if (std::string_view("diu").find(conversion) == std::string_view::npos) {
        type_error(fmt::format("%{} format: an integer is required, not float", conversion));
      }
      const auto whole = to_integer(std::trunc(value.number()));
      if (!whole) too_large();
      integer = *whole;
    }
    std::string text = format_integer(integer, conversion, is_alternate);
    if (precision > kMaxPrecision) unsupported("a precision of more than 400 digits");
    const std::size_t sign = text.starts_with('-') ? 1 : 0;
    while (static_cast<std::int64_t>(text.size() - sign) < precision) text.insert(sign, 1, '0');
    return text;
  }
  if (precision > kMaxPrecision) unsupported("a precision of more than 400 digits");
  const char format[] = {'%', is_alternate ? '#' : '.', '.', '*', conversion, '\0'};
  const std::string chosen = is_alternate ? std::string(format) : fmt::format("%.*{}", conversion);
  char buffer[1024];
  heap.charge(sizeof buffer);
  const int length = std::snprintf(buffer, sizeof buffer, chosen.c_str(),
                                   static_cast<int>(precision < 0 ? 6 : precision), value.number());
  return std::string(buffer, static_cast<std::size_t>(length));
}

Text aligned(Heap& heap, const Text& text, std::int64_t width, std::string_view fill, char align) {
  const auto length = static_cast<std::int64_t>(text.length());
  heap.charge(text.cost());
  if (width <= length) return text;
  const auto missing = static_cast<std::size_t>(width - length);
  if (missing > heap.limits().max_bytes / 4) heap.charge(heap.limits().max_bytes + 1);
  heap.charge(missing * fill.size());
  std::size_t before = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  if (align == 'c') before = missing / 2 + (missing & static_cast<std::size_t>(width) & 1);
  Text out;
  std::string padding;
  for (std::size_t i = 0; i < missing; ++i) {
    if (i == before) {
      out.append(padding);
      out.append(text);
      padding.clear();
    }
    padding += fill;
  }
  out.append(padding);
  if (before == missing) out.append(text);
  return out;
}

Text percent_format(Heap& heap, const Text& format, const Value& arguments) {
  return PercentFormatter(heap, format, arguments).run();
}

}  // namespace quern::jinja
