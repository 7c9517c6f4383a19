#include "tokenizer/pretokenize/known_patterns.h"

#include <array>
#include <cstdint>

#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern {
namespace {

/// What the patterns distinguish.
enum class CharacterKind : std::uint8_t { letter, number, space, other };

struct Character {
  CharacterKind kind;
  std::size_t end;  ///< where the next one begins
};

CharacterKind kind_of(char32_t c, bool marks_are_letters) {
  if (is_white_space(c)) return CharacterKind::space;
  const Category category = category_of(c);
  if (category <= Category::lo) return CharacterKind::letter;
  if (category <= Category::me)
    return marks_are_letters ? CharacterKind::letter : CharacterKind::other;
  return category <= Category::no ? CharacterKind::number : CharacterKind::other;
}

constexpr auto kAsciiKinds = [] {
  std::array<CharacterKind, 128> kinds{};
  for (std::size_t c = 0; c < kinds.size(); ++c) {
    kinds[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? CharacterKind::letter
               : c >= '0' && c <= '9'                           ? CharacterKind::number
               : c == ' ' || (c >= 9 && c <= 13)                ? CharacterKind::space
                                                                : CharacterKind::other;
  }
  return kinds;
}();

template <bool kMarksAreLetters>
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Character at(std::size_t begin) const {
    const auto byte = static_cast<unsigned char>(text_[begin]);
    if (byte < 0x80) return {kAsciiKinds[byte], begin + 1};
    const CodePoint c = code_point_at(text_, begin);
    return {kind_of(c.value, kMarksAreLetters), begin + c.length_bytes};
  }
  bool is(std::size_t begin, CharacterKind kind) const {
    return begin < text_.size() && at(begin).kind == kind;
  }
  /// Where the run of one kind that holds `begin` ends.
  std::size_t run_end(std::size_t begin, CharacterKind kind) const {
    while (begin < text_.size()) {
      const Character c = at(begin);
      if (c.kind != kind) break;
      begin = c.end;
    }
    return begin;
  }
  std::size_t newlines_end(std::size_t begin) const {
    while (begin < text_.size() && is_newline(begin)) ++begin;
    return begin;
  }
  bool is_newline(std::size_t begin) const { return text_[begin] == '\r' || text_[begin] == '\n'; }

  /// The end of `\s*[\r\n]+`, if asked for, else of `\s+(?!\S)|\s+`, at white space.
  std::size_t spaces_end(std::size_t begin, bool newlines_first) const {
    std::size_t end = begin;
    std::size_t last = begin;  // where the last character begins
    std::size_t after_newline = 0;
    while (end < text_.size()) {
      const Character c = at(end);
      if (c.kind != CharacterKind::space) break;
      last = end;
      end = c.end;
      if (is_newline(last)) after_newline = end;
    }
    if (newlines_first && after_newline != 0) return after_newline;
    return end == text_.size() || last == begin ? end : last;
  }

  /// The end of one of 's 't 're 've 'm 'll 'd, or 0.
  std::size_t contraction_end(std::size_t begin, bool ignore_case) const {
    if (text_[begin] != '\'') return 0;
    const auto letter = [&](std::size_t i) -> char {
      if (begin + i >= text_.size()) return 0;
      const char c = text_[begin + i];
      return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    const char first = letter(1);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return begin + 2;
    const char second = letter(2);
    if ((first == 'r' || first == 'v') && second == 'e') return begin + 3;
    if (first == 'l' && second == 'l') return begin + 3;
    // Without regard to case U+017F, the long s, is an s.
    return ignore_case && text_.substr(begin + 1, 2) == "\u017f" ? begin + 3 : 0;
  }

 private:
  std::string_view text_;
};

/// GPT-2's.
struct Gpt2Rules {
  static std::size_t match_end(std::string_view text, std::size_t begin) {
    const Scanner<false> scanner(text);
    if (const std::size_t end = scanner.contraction_end(begin, false)) return end;
    const std::size_t first = begin + (text[begin] == ' ' ? 1 : 0);
    if (first < text.size()) {
      const Character c = scanner.at(first);
      if (c.kind != CharacterKind::space) return scanner.run_end(c.end, c.kind);
    }
    return scanner.spaces_end(begin, false);
  }
};

/// Llama 3's and Qwen's, which differ in how many digits stay together.
template <std::size_t kMaxDigits, bool kMarksAreLetters>
struct TiktokenRules {
  static std::size_t match_end(std::string_view text, std::size_t begin) {
    const Scanner<kMarksAreLetters> scanner(text);
    if (const std::size_t end = scanner.contraction_end(begin, true)) return end;
    const Character c = scanner.at(begin);
    if (c.kind == CharacterKind::letter) return scanner.run_end(c.end, CharacterKind::letter);
    if (c.kind == CharacterKind::number) {
      std::size_t end = c.end;
      for (std::size_t n = 1; n < kMaxDigits && scanner.is(end, CharacterKind::number); ++n) {
        end = scanner.at(end).end;
      }
      return end;
    }
    if (!scanner.is_newline(begin) && scanner.is(c.end, CharacterKind::letter)) {
      return scanner.run_end(c.end, CharacterKind::letter);
    }
    const std::size_t first = begin + (text[begin] == ' ' ? 1 : 0);
    if (scanner.is(first, CharacterKind::other)) {
      return scanner.newlines_end(scanner.run_end(first, CharacterKind::other));
    }
    return scanner.spaces_end(begin, true);
  }
};

/// Every character belongs to a match.
template <typename Rules>
class KnownPattern final : public Pattern {
 public:
  void find_matches(std::string_view text, MatchBudget& /*budget*/,
                    const OnMatch& on_match) const override {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = Rules::match_end(text, at);
      on_match(at, end);
      at = end;
    }
  }
};

}  // namespace

std::unique_ptr<Pattern> find_known_pattern(std::string_view regex) {
  // Qwen 3.5 counts marks as letters.
  constexpr const char* kQwen35Pattern =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
      R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  if (regex == kGpt2Pattern) return std::make_unique<KnownPattern<Gpt2Rules>>();
  if (regex == kQwenPattern) return std::make_unique<KnownPattern<TiktokenRules<1, false>>>();
  if (regex == kLlama3Pattern) return std::make_unique<KnownPattern<TiktokenRules<3, false>>>();
  if (regex == kQwen35Pattern) return std::make_unique<KnownPattern<TiktokenRules<1, true>>>();
  return nullptr;
}

}  // namespace quern
