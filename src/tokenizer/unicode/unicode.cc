#include "tokenizer/unicode/unicode.h"

#include <algorithm>
#include <cstddef>
#include <memory>

#include "tokenizer/unicode/tables.h"

namespace quern {
namespace {

using namespace unicode_tables;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kNumCodePoints = 0x110000;

/// What the loops over text ask of a character, in one byte: the category and three flags.
constexpr std::uint8_t kCategoryBits = 0x1F;
constexpr std::uint8_t kPunctuationBit = 0x20;
constexpr std::uint8_t kMarkBit = 0x40;
constexpr std::uint8_t kOldBit = 0x80;

template <typename Run, std::size_t kNumRuns, typename Take>
void for_each_run(const Run (&runs)[kNumRuns], const Take& take) {
  for (std::size_t i = 0; i < kNumRuns; ++i) {
    take(runs[i].first, i + 1 < kNumRuns ? runs[i + 1].first : kNumCodePoints, runs[i].value);
  }
}

template <typename Run, std::size_t kNumRuns>
auto value_in(const Run (&runs)[kNumRuns], char32_t c) {
  const Run* const next =
      std::upper_bound(std::begin(runs), std::end(runs), c,
                       [](char32_t value, const Run& run) { return value < run.first; });
  return (next - 1)->value;
}

/// One byte for each code point, written at the first use.
const std::uint8_t* properties() {
  static const auto table = [] {
    auto bytes = std::make_unique<std::uint8_t[]>(kNumCodePoints);
    for_each_run(kCategoryRuns, [&](std::size_t first, std::size_t end, Category value) {
      std::fill(bytes.get() + first, bytes.get() + end, static_cast<std::uint8_t>(value));
    });
    const auto set = [&](std::uint8_t bit) {
      return [&bytes, bit](std::size_t first, std::size_t end, std::uint8_t value) {
        for (std::size_t c = first; value != 0 && c < end; ++c) bytes[c] |= bit;
      };
    };
    for_each_run(kPunctuationRuns, set(kPunctuationBit));
    for_each_run(kMarkRuns, set(kMarkBit));
    for_each_run(kOldRuns, set(kOldBit));
    return bytes;
  }();
  return table.get();
}

}  // namespace

Category category_of(char32_t c) { return static_cast<Category>(properties()[c] & kCategoryBits); }

bool is_punctuation(char32_t c) { return (properties()[c] & kPunctuationBit) != 0; }

bool is_mark(char32_t c) { return (properties()[c] & kMarkBit) != 0; }

bool is_in_unicode_8(char32_t c) { return (properties()[c] & kOldBit) != 0; }

bool is_word_character(char32_t c) {
  const Category category = category_of(c);
  if (category <= Category::nl || category == Category::pc) return true;
  constexpr char32_t kZeroWidthNonJoiner = 0x200C;
  constexpr char32_t kZeroWidthJoiner = 0x200D;
  const auto lies_in = [c](char32_t first, char32_t last) { return first <= c && c <= last; };
  return c == kZeroWidthNonJoiner || c == kZeroWidthJoiner ||
         // Symbols that are alphabetic: letters in circles and squares.
         lies_in(0x24B6, 0x24E9) || lies_in(0x1F130, 0x1F149) || lies_in(0x1F150, 0x1F169) ||
         lies_in(0x1F170, 0x1F189);
}

char32_t lowercase_of(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
  return static_cast<char32_t>(static_cast<std::int32_t>(c) + value_in(kLowercaseRuns, c));
}

std::uint8_t combining_class_of(char32_t c) { return c < 0x300 ? 0 : value_in(kCombiningRuns, c); }

bool is_newer_than_normal_forms_9(char32_t c) { return value_in(kNewerRuns, c) != 0; }

}  // namespace quern
