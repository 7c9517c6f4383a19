#include "tokenizer/pretokenize/pretokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/expect_error.h"

namespace quern {
namespace {

using Texts = std::vector<std::string>;
using Keep = PreTokenizer::Keep;

Regex regex(const std::string& pattern) {
  return Regex(pattern, Regex::Syntax::pattern, "tokenizer.json: key 'pre_tokenizer'");
}

Texts pieces(const PreTokenizer& pretokenizer, std::string_view text) {
  Texts out;
  pretokenizer.split(text, [&](std::string_view piece) { out.emplace_back(piece); });
  return out;
}

Texts split(const std::string& pattern, std::string_view text, Keep keep = Keep::all) {
  PreTokenizer pretokenizer;
  pretokenizer.add_split(regex(pattern), keep);
  return pieces(pretokenizer, text);
}

TEST(PreTokenizer, CutsAsGpt2Does) {
  EXPECT_EQ(split(kGpt2Pattern, "Hello world's  \n end"),
            (Texts{"Hello", " world", "'s", "  \n", " end"}));
  EXPECT_EQ(split(kGpt2Pattern, "a123 456!?"), (Texts{"a", "123", " 456", "!?"}));
  EXPECT_EQ(split(kGpt2Pattern, "   "), Texts{"   "});
  EXPECT_EQ(split(kGpt2Pattern, ""), Texts{});
}

TEST(PreTokenizer, CutsAsQwenDoes) {
  EXPECT_EQ(split(kQwenPattern, "it'S 12\n\n x"), (Texts{"it", "'S", " ", "1", "2", "\n\n", " x"}));
}

// PCRE2's own \s takes U+180E along; Unicode's White_Space and Oniguruma do not.
TEST(PreTokenizer, ReadsWhiteSpaceAsUnicodeDoes) {
  EXPECT_EQ(split("\\s+", "a\u180e\u3000b"), (Texts{"a\u180e", "\u3000", "b"}));
  EXPECT_EQ(split("[^\\s]+", "a\u180e\u0085b"), (Texts{"a\u180e", "\u0085", "b"}));
  EXPECT_EQ(split("\\S+", "a\u180e b"), (Texts{"a\u180e", " ", "b"}));
}

TEST(PreTokenizer, KeepsWhatItIsToldTo) {
  EXPECT_EQ(split("b+", "abbc"), (Texts{"a", "bb", "c"}));
  EXPECT_EQ(split("b+", "abbc", Keep::matches), Texts{"bb"});
  EXPECT_EQ(split("b+", "abbc", Keep::gaps), (Texts{"a", "c"}));
  EXPECT_EQ(split("x*", "ab\u00e9"), Texts{"ab\u00e9"});  // only empty matches
}

TEST(PreTokenizer, RunsItsStepsOneAfterTheOther) {
  PreTokenizer pretokenizer;
  pretokenizer.add_split(Regex("+", Regex::Syntax::literal, "here"), Keep::gaps);
  pretokenizer.add_prefix_space();
  pretokenizer.add_split(regex(kGpt2Pattern), Keep::all);
  EXPECT_EQ(pieces(pretokenizer, "one+two three+ four"),
            (Texts{" one", " two", " three", " four"}));
}

TEST(PreTokenizer, RefusesPatternsThatPcre2ReadsInAnotherWay) {
  for (const char* pattern : {"\\h+", "[a[b]]", "[a-z&&b]", "[\\S]", "\\Qa\\E", "[]a]"}) {
    EXPECT_QUERN_ERROR(ErrorCode::unsupported,
                       ({"tokenizer.json: key 'pre_tokenizer'", "not supported"}), regex(pattern));
  }
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"tokenizer.json", "'(a'", "PCRE2"}), regex("(a"));
}

TEST(PreTokenizer, SaysWhereMatchingBecomesTooMuch) {
  const std::string text = "b" + std::string(40, 'a');
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"tokenizer.json", "at byte 0"}),
                     split("(a+)+$(?<!a)", text));
}

TEST(PreTokenizer, MatchesLongRepeatedGroups) {
  const std::string text(1'000'000, 'a');
  EXPECT_EQ(split("(?:a|b)+", text), Texts{text});
}

}  // namespace
}  // namespace quern
