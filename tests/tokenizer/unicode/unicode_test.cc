#include "tokenizer/unicode/unicode.h"

#include <gtest/gtest.h>

#include <string>

#include "tokenizer/unicode/normal_forms.h"

namespace quern {
namespace {

std::string to_nfc(std::string_view text) { return to_normal_form(text, NormalForm::nfc); }

TEST(Unicode, KnowsWhiteSpace) {
  for (const char32_t c : {0x09, 0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x200A, 0x2029, 0x3000}) {
    EXPECT_TRUE(is_white_space(c)) << static_cast<int>(c);
  }
  for (const char32_t c : {0x08, 0x1C, 'a' + 0, 0x180E, 0x200B, 0xFEFF}) {
    EXPECT_FALSE(is_white_space(static_cast<char32_t>(c))) << static_cast<int>(c);
  }
}

TEST(Unicode, KnowsWordCharacters) {
  for (const char32_t c : {U'a', U'\u00e9', U'\u4e2d', U'7', U'_', U'\u0301', U'\u200d'}) {
    EXPECT_TRUE(is_word_character(c)) << static_cast<int>(c);
  }
  for (const char32_t c : {U' ', U'-', U'<', U'\u00bd', U'\U0001F600'}) {
    EXPECT_FALSE(is_word_character(c)) << static_cast<int>(c);
  }
}

// Expected forms by Python's unicodedata.
TEST(Unicode, NormalizesToNfc) {
  EXPECT_EQ(to_nfc(""), "");
  EXPECT_EQ(to_nfc("plain"), "plain");
  EXPECT_EQ(to_nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(to_nfc("\u0344"), "\u0308\u0301");
  EXPECT_EQ(to_nfc("\u1112\u1161\u11ab"), "\ud55c");
  EXPECT_EQ(to_nfc("a\u0307\u0323"), "\u1ea1\u0307");
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093c");
  EXPECT_EQ(to_nfc("\u212b \ufb01 \u2126"), "\u00c5 \ufb01 \u03a9");
  EXPECT_EQ(to_nfc("\U0001D15E"), "\U0001D157\U0001D165");
  const std::string with_zero("\0e\u0301", 4);
  EXPECT_EQ(to_nfc(with_zero), std::string("\0\u00e9", 3));
}

TEST(Unicode, NormalizesToTheOtherForms) {
  EXPECT_EQ(to_normal_form("\u00e9\ud55c", NormalForm::nfd), "e\u0301\u1112\u1161\u11ab");
  EXPECT_EQ(to_normal_form("\ufb01\u2460\u3392", NormalForm::nfkc), "fi1MHz");
  EXPECT_EQ(to_normal_form("\u1e9b\u0323", NormalForm::nfkd), "s\u0323\u0307");
  EXPECT_EQ(to_normal_form("\u1e9b\u0323", NormalForm::nfkc), "\u1e69");
}

TEST(NormalForms, KnowTheCharactersOfTheirVersion) {
  // U+0D3B of Unicode 10 has combining class 9, U+20E9 has 230; U+11938 of Unicode 13 is a
  // composite.
  const std::string marks = "\u20e9\u0d3b";
  EXPECT_EQ(to_normal_form(marks, NormalForm::nfc), marks);
  EXPECT_EQ(to_normal_form(marks, NormalForm::nfc, NormalFormVersion::current), "\u0d3b\u20e9");
  const std::string composed = "\U00011938";
  const std::string parts = "\U00011935\U00011930";
  EXPECT_EQ(to_normal_form(composed, NormalForm::nfd), composed);
  EXPECT_EQ(to_normal_form(parts, NormalForm::nfc), parts);
  EXPECT_EQ(to_normal_form(composed, NormalForm::nfd, NormalFormVersion::current), parts);
  EXPECT_EQ(to_normal_form(parts, NormalForm::nfc, NormalFormVersion::current), composed);
}

TEST(Unicode, KnowsLowercaseAndPunctuation) {
  EXPECT_EQ(lowercase_of(U'\u00c9'), U'\u00e9');
  EXPECT_EQ(lowercase_of(U'\u0130'), U'i');
  EXPECT_EQ(lowercase_of(U'\ua7cb'), U'\u0264');  // of Unicode 16
  EXPECT_EQ(lowercase_of(U'1'), U'1');
  for (const char32_t c : {U'$', U'~', U',', U'\u3002'}) EXPECT_TRUE(is_punctuation(c));
  for (const char32_t c : {U'a', U' ', U'\u20ac'}) EXPECT_FALSE(is_punctuation(c));
}

TEST(Unicode, SortsALongRunOfMarksInTime) {
  std::string text = "a";
  std::string sorted = "\u1ea1";  // takes the first of the marks below
  for (int i = 0; i < 100'000; ++i) text += "\u0301\u0323";
  for (int i = 1; i < 100'000; ++i) sorted += "\u0323";
  for (int i = 0; i < 100'000; ++i) sorted += "\u0301";
  EXPECT_EQ(to_nfc(text), sorted);
}

}  // namespace
}  // namespace quern
