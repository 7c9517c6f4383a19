#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/text/utf8.h"

namespace quern {

/// The work that regular expressions may do for one text, so that many matches that are each within
/// their limits do not add up. Units: about a nanosecond.
class MatchBudget {
 public:
  explicit MatchBudget(std::size_t text_bytes) : left_(kBase + kPerByte * text_bytes) {}
  /// False once it is used up.
  bool spend(std::uint64_t work) {
    left_ -= std::min(left_, work);
    return left_ > 0;
  }

 private:
  static constexpr std::uint64_t kBase = 1'000'000'000;
  static constexpr std::uint64_t kPerByte = 400;
  std::uint64_t left_;
};

/// What a Split cuts at and a Replace rewrites. Immutable: threads may share it.
class Pattern {
 public:
  virtual ~Pattern() = default;
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  using OnMatch = std::function<void(std::size_t begin, std::size_t end)>;
  /// Calls `on_match` for the matches in well-formed UTF-8, which do not overlap, in order. Errors:
  /// as Regex::find_matches.
  virtual void find_matches(std::string_view text, MatchBudget& budget,
                            const OnMatch& on_match) const = 0;

 protected:
  Pattern() = default;
};

/// Every occurrence of a string that is not empty.
class LiteralPattern final : public Pattern {
 public:
  explicit LiteralPattern(std::string literal) : literal_(std::move(literal)) {}
  void find_matches(std::string_view text, MatchBudget& /*budget*/,
                    const OnMatch& on_match) const override {
    if (literal_.empty()) return;
    for (std::size_t at = 0; (at = text.find(literal_, at)) != text.npos;) {
      on_match(at, at + literal_.size());
      at += literal_.size();
    }
  }

 private:
  std::string literal_;
};

/// Every character that `Contains` accepts, one at a time.
class CharacterPattern final : public Pattern {
 public:
  using Contains = bool (*)(char32_t);
  explicit CharacterPattern(Contains contains) : contains_(contains) {}
  void find_matches(std::string_view text, MatchBudget& budget,
                    const OnMatch& on_match) const override;

 private:
  Contains contains_;
};

/// A regular expression: by a hand-written splitter where the pattern is one of the families', by
/// PCRE2 under limits otherwise. Errors: as Regex.
std::unique_ptr<Pattern> make_pattern(const std::string& regex, const std::string& where);

}  // namespace quern
