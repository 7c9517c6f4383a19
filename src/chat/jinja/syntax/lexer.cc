#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "chat/jinja/failure.h"
#include "chat/jinja/syntax/string_literal.h"
#include "chat/jinja/syntax/token.h"
#include "chat/jinja/value/text.h"
#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern::jinja {
namespace {

[[noreturn]] void syntax_error(int line, const std::string& message) {
  fail_at(line, Failure::Kind::syntax, message);
}

/// "\n" for every line end, without the last one.
std::string normalized_lines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text += source[i];
    }
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized_lines(source)), text_(source_) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) read_data();
    add(TokenKind::end);
    return std::move(tokens_);
  }

 private:
  bool starts(std::string_view what) const { return text_.substr(at_, what.size()) == what; }

  void add(TokenKind kind, std::string text = {}) {
    Token token;
    token.kind = kind;
    token.text = std::move(text);
    token.line = line_;
    tokens_.push_back(std::move(token));
  }

  /// Moves on, counting lines.
  void advance(std::size_t bytes) {
    const std::string_view passed = text_.substr(at_, bytes);
    line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
    at_ += bytes;
  }

  std::size_t spaces_at(std::size_t at) const {
    std::size_t end = at;
    while (end < text_.size()) {
      const CodePoint c = code_point_at(text_, end);
      if (!is_python_space(c.value)) break;
      end += c.length_bytes;
    }
    return end - at;
  }

  /// Data up to the next tag, and the tag.
  void read_data() {
    std::size_t tag = at_;
    while (true) {
      tag = text_.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 >= text_.size()) {
        add_data(text_.substr(at_));
        return advance(text_.size() - at_);
      }
      const char next = text_[tag + 1];
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    }
    const char kind = text_[tag + 1];
    const char sign = tag + 2 < text_.size() ? text_[tag + 2] : '\0';
    add_data(stripped(text_.substr(at_, tag - at_), sign, kind != '{'));
    advance(tag - at_);
    const bool has_sign = sign == '-' || sign == '+';
    if (kind == '#') return read_comment();
    if (kind == '%' && read_raw(has_sign)) return;
    add(kind == '{' ? TokenKind::variable_begin : TokenKind::block_begin);
    advance(has_sign ? 3 : 2);
    read_tag(kind == '{');
  }

  /// The text in front of a tag, by the tag's sign and lstrip_blocks.
  std::string_view stripped(std::string_view data, char sign, bool is_block) const {
    if (sign == '-') {
      std::size_t end = data.size();
      while (end > 0) {
        const CodePoint c = code_point_before(data, end);
        if (!is_python_space(c.value)) break;
        end -= c.length_bytes;
      }
      return data.substr(0, end);
    }
    if (sign == '+' || !is_block) return data;
    const std::size_t line_begin = data.rfind('\n') + 1;  // 0 where there is none
    if (line_begin == 0 && !line_starts_) return data;
    std::size_t end = line_begin;
    while (end < data.size()) {
      const CodePoint c = code_point_at(data, end);
      if (!is_python_space(c.value)) return data;
      end += c.length_bytes;
    }
    return data.substr(0, line_begin);
  }

  void add_data(std::string_view data) {
    if (!data.empty()) add(TokenKind::data, std::string(data));
  }

  /// What follows a tag's end by its sign and trim_blocks.
  void end_tag(std::size_t bytes, bool strips, bool trims) {
    advance(bytes);
    const std::size_t before = at_;
    if (strips) {
      advance(spaces_at(at_));
    } else if (trims && at_ < text_.size() && text_[at_] == '\n') {
      advance(1);
    }
    line_starts_ = at_ > before ? text_[at_ - 1] == '\n' : false;
  }

  void read_comment() {
    const int line = line_;
    const std::size_t end = text_.find("#}", at_ + 2);
    if (end == std::string_view::npos) syntax_error(line, "Missing end of comment tag");
    const char sign = end > at_ + 2 ? text_[end - 1] : '\0';
    advance(end - at_);
    end_tag(2, sign == '-', sign != '+');
  }

  /// {% raw %} … {% endraw %}; false where the tag is another one.
  bool read_raw(bool has_sign) {
    std::size_t at = at_ + (has_sign ? 3 : 2);
    at += spaces_at(at);
    if (text_.substr(at, 3) != "raw") return false;
    at += 3;
    at += spaces_at(at);
    const bool strips = text_.substr(at, 1) == "-";
    if (text_.substr(at + (strips ? 1 : 0), 2) != "%}") return false;
    advance(at + (strips ? 3 : 2) - at_);
    if (strips) advance(spaces_at(at_));
    line_starts_ = at_ > 0 && text_[at_ - 1] == '\n';
    if (at_ >= text_.size()) return true;  // as Jinja, which misses the end only behind some text
    const int line = line_;
    for (std::size_t tag = text_.find("{%", at_); tag != std::string_view::npos;
         tag = text_.find("{%", tag + 2)) {
      std::size_t end = tag + 2;
      const char sign = end < text_.size() ? text_[end] : '\0';
      if (sign == '-' || sign == '+') ++end;
      end += spaces_at(end);
      if (text_.substr(end, 6) != "endraw") continue;
      end += 6;
      end += spaces_at(end);
      const char last = end < text_.size() ? text_[end] : '\0';
      if (last == '-' || last == '+') ++end;
      if (text_.substr(end, 2) != "%}") continue;
      add_data(stripped(text_.substr(at_, tag - at_), sign, true));
      advance(end - at_);
      end_tag(2, last == '-', last != '+');
      return true;
    }
    syntax_error(line, "Missing end of raw directive");
  }

  /// The expressions of a tag, and its end.
  void read_tag(bool is_variable) {
    std::string open;  // brackets that wait for their end
    while (true) {
      advance(spaces_at(at_));
      if (at_ >= text_.size()) return;  // the parser says what is missing
      if (open.empty() && read_tag_end(is_variable)) return;
      if (read_number() || read_name() || read_string()) continue;
      read_operator(open);
    }
  }

  bool read_tag_end(bool is_variable) {
    const std::string_view end = is_variable ? "}}" : "%}";
    const char sign = text_[at_];
    const bool has_sign = sign == '-' || (sign == '+' && !is_variable);
    if (text_.substr(at_ + (has_sign ? 1 : 0), 2) != end) return false;
    add(is_variable ? TokenKind::variable_end : TokenKind::block_end);
    end_tag(has_sign ? 3 : 2, sign == '-', !is_variable && sign != '+');
    return true;
  }

  /// Digits with single underscores between them; 0 where there is no number.
  std::size_t digits_at(std::size_t at) const {
    std::size_t end = at;
    while (end < text_.size() &&
           (is_digit(text_[end]) || (text_[end] == '_' && end > at && text_[end - 1] != '_' &&
                                     end + 1 < text_.size() && is_digit(text_[end + 1])))) {
      ++end;
    }
    return end - at;
  }

  bool read_number() {
    if (!is_digit(text_[at_])) return false;
    const bool after_dot = at_ > 0 && text_[at_ - 1] == '.';
    std::size_t end = at_ + digits_at(at_);
    bool is_float = false;
    if (!after_dot) {
      if (text_.substr(end, 1) == ".") {
        if (const std::size_t digits = digits_at(end + 1)) {
          end += 1 + digits;
          is_float = true;
        }
      }
      if (end < text_.size() && (text_[end] | 0x20) == 'e') {
        std::size_t exponent = end + 1;
        if (exponent < text_.size() && (text_[exponent] == '+' || text_[exponent] == '-')) {
          ++exponent;
        }
        if (const std::size_t digits = digits_at(exponent)) {
          end = exponent + digits;
          is_float = true;
        }
      }
    }
    if (is_float) {
      std::string written(text_.substr(at_, end - at_));
      std::erase(written, '_');
      add(TokenKind::floating, written);
      tokens_.back().number = std::strtod(written.c_str(), nullptr);
      advance(end - at_);
      return true;
    }
    read_integer();
    return true;
  }

  void read_integer() {
    int base = 10;
    std::size_t end = at_;
    if (text_[at_] == '0' && at_ + 1 < text_.size()) {
      const char letter = static_cast<char>(text_[at_ + 1] | 0x20);
      base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
      const auto is_of_base = [&](char c) {
        const int digit = is_digit(c)             ? c - '0'
                          : std::isxdigit(c) != 0 ? (c | 0x20) - 'a' + 10
                                                  : 99;
        return digit < base;
      };
      std::size_t next = at_ + 2;
      while (base != 10 && next < text_.size() &&
             (is_of_base(text_[next]) ||
              (text_[next] == '_' && next + 1 < text_.size() && is_of_base(text_[next + 1])))) {
        end = ++next;
      }
      if (end == at_) base = 10;
    }
    if (base == 10) {
      end = at_ + digits_at(at_);
      if (text_[at_] == '0') {  // of 012 the zeros alone: the rest is the next token
        end = at_ + 1;
        while (end < text_.size() &&
               (text_[end] == '0' ||
                (text_[end] == '_' && end + 1 < text_.size() && text_[end + 1] == '0')))
          ++end;
      }
    }
    std::string written(text_.substr(at_, end - at_));
    std::erase(written, '_');
    add(TokenKind::integer, written);
    const char* first = written.data() + (base == 10 ? 0 : 2);
    const auto result =
        std::from_chars(first, written.data() + written.size(), tokens_.back().integer, base);
    if (result.ec != std::errc()) {
      fail_at(line_, Failure::Kind::unsupported, "an integer beyond 64 bits is not supported");
    }
    advance(end - at_);
  }

  bool read_name() {
    std::size_t end = at_;
    while (end < text_.size()) {
      const CodePoint c = code_point_at(text_, end);
      if (c.value != '_' && (c.value < 0x80 ? std::isalnum(static_cast<int>(c.value)) == 0
                                            : !is_word_character(c.value))) {
        break;
      }
      end += c.length_bytes;
    }
    if (end == at_) return false;
    add(TokenKind::name, std::string(text_.substr(at_, end - at_)));
    advance(end - at_);
    return true;
  }

  bool read_string() {
    const char quote = text_[at_];
    if (quote != '"' && quote != '\'') return false;
    std::size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) {
      syntax_error(line_, fmt::format("unexpected char '{}': a string without its end", quote));
    }
    add(TokenKind::string, unescaped_literal(text_.substr(at_ + 1, end - at_ - 1), line_));
    advance(end + 1 - at_);
    return true;
  }

  void read_operator(std::string& open) {
    static constexpr std::array<std::string_view, 6> kDouble = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kSingle = "+-/*%~[](){}><=.:|,;";
    for (const std::string_view op : kDouble) {
      if (!starts(op)) continue;
      add(TokenKind::op, std::string(op));
      return advance(2);
    }
    const char c = text_[at_];
    if (kSingle.find(c) == std::string_view::npos) {
      const CodePoint bad = code_point_at(text_, at_);
      syntax_error(line_, fmt::format("unexpected char '{}'", text_.substr(at_, bad.length_bytes)));
    }
    if (c == '(') open += ')';
    if (c == '[') open += ']';
    if (c == '{') open += '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) syntax_error(line_, fmt::format("unexpected '{}'", c));
      if (open.back() != c) {
        syntax_error(line_, fmt::format("unexpected '{}', expected '{}'", c, open.back()));
      }
      open.pop_back();
    }
    add(TokenKind::op, std::string(1, c));
    advance(1);
  }

  std::string source_;
  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starts_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace quern::jinja
