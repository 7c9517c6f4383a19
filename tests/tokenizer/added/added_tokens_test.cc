#include "tokenizer/added/added_tokens.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tokenizer/unicode/normal_forms.h"

namespace quern {
namespace {

std::string normalize_nfc(std::string_view text) { return to_normal_form(text, NormalForm::nfc); }

AddedToken token(const std::string& content, std::int32_t id) {
  AddedToken made;
  made.content = content;
  made.id = id;
  return made;
}

/// The pieces with the ids of tokens in brackets: "a|[1]|b".
std::string cut(const std::vector<AddedToken>& tokens, std::string_view text,
                bool parse_special = true, bool normalized = false) {
  const AddedTokens added(tokens,
                          [](std::string_view t) { return to_normal_form(t, NormalForm::nfc); });
  std::string out;
  added.split(text, normalized, parse_special,
              [&](std::string_view piece, const AddedToken* found) {
                if (!out.empty()) out += '|';
                out += found == nullptr ? std::string(piece) : fmt::format("[{}]", found->id);
              });
  return out;
}

TEST(AddedTokens, FindsTheLeftmostAndOfThoseTheLongest) {
  const std::vector<AddedToken> tokens = {token("ab", 1), token("abc", 2), token("bcd", 3),
                                          token("x", 4)};
  EXPECT_EQ(cut(tokens, "zabcdab"), "z|[2]|d|[1]");
  EXPECT_EQ(cut(tokens, "bcdx"), "[3]|[4]");
  EXPECT_EQ(cut(tokens, "abb"), "[1]|b");
  EXPECT_EQ(cut(tokens, ""), "");
  EXPECT_EQ(cut({}, "ab"), "ab");
}

TEST(AddedTokens, LooksForSpecialOnesOnlyWhenAsked) {
  AddedToken special = token("<s>", 1);
  special.special = true;
  const std::vector<AddedToken> tokens = {special, token("<t>", 2)};
  EXPECT_EQ(cut(tokens, "<s><t>"), "[1]|[2]");
  EXPECT_EQ(cut(tokens, "<s><t>", false), "<s>|[2]");
}

TEST(AddedTokens, KeepsSingleWordsOutOfWords) {
  AddedToken word = token("or", 1);
  word.single_word = true;
  EXPECT_EQ(cut({word}, "or for or_ (or) \u00e9or"), "[1]| for or_ (|[1]|) \u00e9or");
}

TEST(AddedTokens, TakesWhiteSpaceAlong) {
  AddedToken left = token("L", 1);
  left.lstrip = true;
  AddedToken right = token("R", 2);
  right.rstrip = true;
  EXPECT_EQ(cut({left, right}, "a \u3000L bR\n c"), "a|[1]| b|[2]|c");
  EXPECT_EQ(cut({left, right}, "R  L"), "[2]|[1]");
  EXPECT_EQ(cut({left}, "  L"), "[1]");
}

TEST(AddedTokens, LooksForNormalizedOnesInNormalizedText) {
  AddedToken accent = token("e\u0301", 1);
  accent.normalized = true;
  EXPECT_EQ(cut({accent}, "x\u00e9", true, true), "x|[1]");
  EXPECT_EQ(cut({accent}, "xe\u0301", true, false), "xe\u0301");
}

TEST(AddedTokens, AreFoundByIdAndContent) {
  const AddedTokens added({token("a", 7), token("b", 3)}, normalize_nfc);
  ASSERT_NE(added.find(3), nullptr);
  EXPECT_EQ(added.find(3)->content, "b");
  ASSERT_NE(added.find("a"), nullptr);
  EXPECT_EQ(added.find("a")->id, 7);
  EXPECT_EQ(added.find(5), nullptr);
  EXPECT_EQ(added.find("c"), nullptr);
}

}  // namespace
}  // namespace quern
