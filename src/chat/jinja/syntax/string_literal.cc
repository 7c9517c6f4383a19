#include "chat/jinja/syntax/string_literal.h"

#include <fmt/format.h>

#include "base/text/utf8.h"
#include "chat/jinja/failure.h"

namespace quern::jinja {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char simple_escape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case '\\':
    case '\'':
    case '"':
      return c;
    default:
      return '\0';
  }
}

class LiteralReader {
 public:
  LiteralReader(std::string_view written, int line) : written_(written), line_(line) {}

  std::string read() {
    while (at_ < written_.size()) {
      const char c = written_[at_++];
      if (c != '\\' || at_ == written_.size()) {
        out_ += c;
      } else {
        read_escape();
      }
    }
    return std::move(out_);
  }

 private:
  void read_escape() {
    const char c = written_[at_++];
    if (const char simple = simple_escape(c)) {
      out_ += simple;
    } else if (c == 'x' || c == 'u' || c == 'U') {
      read_hex(c, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    } else if (c >= '0' && c <= '7') {
      read_octal(c);
    } else if (c == 'N') {
      fail_at(line_, Failure::Kind::unsupported, "the escape \\N is not supported");
    } else if (c != '\n') {  // a backslash at the end of a line joins it with the next one
      out_ += '\\';
      out_ += c;
    }
  }

  void read_hex(char letter, int num_digits) {
    char32_t value = 0;
    for (int i = 0; i < num_digits; ++i) {
      const int digit = at_ < written_.size() ? hex_digit(written_[at_]) : -1;
      if (digit < 0) {
        fail_at(line_, Failure::Kind::syntax,
                fmt::format("a string's escape \\{} has {} hexadecimal digits, expected {}", letter,
                            i, num_digits));
      }
      value = value * 16 + static_cast<char32_t>(digit);
      ++at_;
    }
    append(value);
  }

  void read_octal(char first) {
    auto value = static_cast<char32_t>(first - '0');
    for (int i = 0; i < 2 && at_ < written_.size(); ++i, ++at_) {
      if (written_[at_] < '0' || written_[at_] > '7') break;
      value = value * 8 + static_cast<char32_t>(written_[at_] - '0');
    }
    append(value);
  }

  void append(char32_t value) {
    if (value >= 0x110000) fail_at(line_, Failure::Kind::syntax, "illegal Unicode character");
    if (value >= 0xD800 && value < 0xE000) {
      fail_at(line_, Failure::Kind::unsupported, "a surrogate in a string is not supported");
    }
    append_utf8(value, out_);
  }

  std::string_view written_;
  int line_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string unescaped_literal(std::string_view written, int line) {
  return LiteralReader(written, line).read();
}

}  // namespace quern::jinja
