#include "base/text/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quern {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

TEST(Utf8, EveryCodePointComesBackAndSurrogatesAreRefused) {
  for (char32_t code_point = 0; code_point < 0x110000; ++code_point) {
    std::string text;
    append_utf8(code_point, text);
    const Utf8Piece piece = first_utf8_piece(text);
    if (code_point >= 0xD800 && code_point < 0xE000) {
      ASSERT_EQ(piece.status, Utf8Status::broken);
      continue;
    }
    ASSERT_EQ(piece.status, Utf8Status::whole) << static_cast<std::uint32_t>(code_point);
    ASSERT_EQ(piece.length_bytes, text.size());
    ASSERT_EQ(decode_utf8(text), code_point);
  }
}

// Every sequence of two bytes and many of more: whole exactly if it is the shortest form of a code
// point.
TEST(Utf8, OnlyShortestFormsAreWhole) {
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second),
                                static_cast<char>(0x80), static_cast<char>(0xBF)};
      const Utf8Piece piece = first_utf8_piece(text);
      if (piece.status != Utf8Status::whole) continue;
      const std::string sequence = text.substr(0, piece.length_bytes);
      std::string again;
      append_utf8(decode_utf8(sequence), again);
      ASSERT_EQ(again, sequence);
      ASSERT_LT(decode_utf8(sequence), 0x110000u);
    }
  }
}

TEST(Utf8, NamesTheFirstBrokenByte) {
  EXPECT_EQ(invalid_utf8_at(""), std::nullopt);
  EXPECT_EQ(invalid_utf8_at("a\u00e9\u4e2d\U0001F600"), std::nullopt);
  EXPECT_EQ(invalid_utf8_at("ab\xff"), 2u);
  EXPECT_EQ(invalid_utf8_at("\u00e9\xe4\xb8"), 2u);
  EXPECT_EQ(invalid_utf8_at("\xc0\x80"), 0u);
  EXPECT_EQ(invalid_utf8_at("a\xed\xa0\x80"), 1u);
  EXPECT_EQ(invalid_utf8_at("\xf4\x90\x80\x80"), 0u);
}

// Expected: Python's bytes.decode("utf-8", "replace").
TEST(Utf8, ReplacesAsPythonDoes) {
  struct Case {
    std::string bytes;
    int replacements;
    std::string rest;
  };
  const std::vector<Case> cases = {{"\xff", 1, ""},
                                   {"\xc3", 1, ""},
                                   {"\xe4\xb8", 1, ""},
                                   {"\xf0\x9f\x98", 1, ""},
                                   {"\xf0\x9f\x98x", 1, "x"},
                                   {"\xc0\x80", 2, ""},
                                   {"\xe0\x80\x80", 3, ""},
                                   {"\xed\xa0\x80", 3, ""},
                                   {"\xf4\x90\x80\x80", 4, ""},
                                   {"\xe4\xe4\xb8\xad", 1, "\u4e2d"},
                                   {"\x80\x80"
                                    "a",
                                    2, "a"}};
  for (const Case& test : cases) {
    std::string expected;
    for (int i = 0; i < test.replacements; ++i) expected += kReplacement;
    EXPECT_EQ(replace_invalid_utf8(test.bytes), expected + test.rest);
  }
}

TEST(Utf8, TellsIncompleteFromBroken) {
  EXPECT_EQ(first_utf8_piece("\xf0\x9f\x98").status, Utf8Status::incomplete);
  EXPECT_EQ(first_utf8_piece("\xf0\x9f\x98x").status, Utf8Status::broken);
  EXPECT_EQ(first_utf8_piece("\xf0\x9f\x98x").length_bytes, 3u);
  EXPECT_EQ(first_utf8_piece("\xe0").status, Utf8Status::incomplete);
  EXPECT_EQ(first_utf8_piece("\xe0\x80").length_bytes, 1u);
}

TEST(ShortenedText, IsCutBetweenCharacters) {
  EXPECT_EQ(shortened_text("abc", 3), "abc");
  EXPECT_EQ(shortened_text("abcd", 3), "abc…");
  EXPECT_EQ(shortened_text("a\u00e9", 2), "a…");
  EXPECT_EQ(shortened_text("\u20ac", 2), "…");
  EXPECT_EQ(shortened_text("", 0), "");
}

}  // namespace
}  // namespace quern
