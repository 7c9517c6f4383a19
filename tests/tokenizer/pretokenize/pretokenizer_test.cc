#include "tokenizer/pretokenize/pretokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"
#include "tokenizer/pretokenize/known_patterns.h"
#include "tokenizer/pretokenize/regex.h"

namespace quern {
namespace {

using Texts = std::vector<std::string>;
using enum SplitBehavior;

Texts pieces(const PreTokenizer& step, std::string_view text, bool at_start = true) {
  Texts out;
  MatchBudget budget(text.size());
  step.split(text, at_start, budget,
             [&](std::string_view piece, bool) { out.emplace_back(piece); });
  return out;
}

Texts split(const std::string& pattern, std::string_view text, SplitBehavior behavior = isolated,
            bool invert = false) {
  return pieces(SplitPreTokenizer(make_pattern(pattern, "tokenizer.json"), behavior, invert), text);
}

// Each match is cheap, but looks at all the text behind it.
TEST(PreTokenizer, EndsWhereManyMatchesTogetherTakeTooMuchWork) {
  const auto pattern = make_pattern("x(?=[^b]*b)", "here");
  const std::string text = std::string(2000, 'x') + "b";
  std::size_t num_matches = 0;
  const auto find_all = [&](MatchBudget& budget) {
    pattern->find_matches(text, budget, [&](std::size_t, std::size_t) { ++num_matches; });
  };
  MatchBudget budget(text.size());
  find_all(budget);
  EXPECT_EQ(num_matches, 2000u);
  // The same text again and again, as between added tokens: each reading takes 2000 * 2000 / 2.
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"here", "of 2001", "too much work"}), [&] {
    for (int i = 0; i < 1000; ++i) find_all(budget);
  }());
  EXPECT_GT(num_matches, 2000u * 10);
}

TEST(PreTokenizer, SplitsAsGpt2Does) {
  EXPECT_EQ(split(kGpt2Pattern, "Hello world's  \n end"),
            (Texts{"Hello", " world", "'s", "  \n", " end"}));
  EXPECT_EQ(split(kGpt2Pattern, "a123 456!?"), (Texts{"a", "123", " 456", "!?"}));
  EXPECT_EQ(split(kGpt2Pattern, "   "), Texts{"   "});
  EXPECT_EQ(split(kGpt2Pattern, ""), Texts{});
}

TEST(PreTokenizer, SplitsAsQwenDoes) {
  EXPECT_EQ(split(kQwenPattern, "it'S 12\n\n x"), (Texts{"it", "'S", " ", "1", "2", "\n\n", " x"}));
}

// Characters of Unicode up to 14 alone, which every PCRE2 in use knows.
TEST(PreTokenizer, KnownPatternsDoWhatTheRegularExpressionsDo) {
  const std::vector<std::string> parts = {
      " ",       "  ",     "\n",     "\r\n", "\t",     "\u00a0",     "\u3000", "a",  "B",
      "s",       "\u00e9", "\u4e2d", "1",    "23",     "\u00bd",     "'",      "'s", "'LL",
      "'\u017f", "!",      "-",      "_",    "\u0301", "\U0001F600", "."};
  std::mt19937 random(3);
  for (const char* pattern : {kGpt2Pattern, kQwenPattern, kLlama3Pattern}) {
    const SplitPreTokenizer known(find_known_pattern(pattern), isolated, false);
    const SplitPreTokenizer regex(std::make_unique<Regex>(pattern, "here"), isolated, false);
    for (int i = 0; i < 3000; ++i) {
      std::string text;
      for (std::size_t n = random() % 12; n > 0; --n) text += parts[random() % parts.size()];
      ASSERT_EQ(pieces(known, text), pieces(regex, text)) << pattern << ": '" << text << "'";
    }
  }
  EXPECT_EQ(find_known_pattern("a+"), nullptr);
}

// Expected pieces by Hugging Face's tokenizers 0.23.
TEST(PreTokenizer, TreatsMatchesAsItsBehaviorSays) {
  const std::string text = "  a  b c ";
  EXPECT_EQ(split(" ", text, removed), (Texts{"a", "b", "c"}));
  EXPECT_EQ(split(" ", text, removed, true), (Texts{" ", " ", " ", " ", " ", " "}));
  EXPECT_EQ(split(" ", text, isolated), (Texts{" ", " ", "a", " ", " ", "b", " ", "c", " "}));
  EXPECT_EQ(split(" ", text, merged_with_next), (Texts{" ", " a", " ", " b", " c", " "}));
  EXPECT_EQ(split(" ", text, merged_with_next, true), (Texts{" ", " ", "a ", " ", "b ", "c "}));
  EXPECT_EQ(split(" ", text, merged_with_previous), (Texts{" ", " ", "a ", " ", "b ", "c "}));
  EXPECT_EQ(split(" ", text, contiguous), (Texts{"  ", "a", "  ", "b", " ", "c", " "}));
  EXPECT_EQ(split("(?=b)", "abab"), (Texts{"a", "ba", "b"}));  // empty matches cut, too
}

TEST(PreTokenizer, MetaspacePutsASpaceInFrontWhereNoneIs) {
  using Prepend = MetaspacePreTokenizer::Prepend;
  EXPECT_EQ(pieces(MetaspacePreTokenizer("_", Prepend::always, false), "a b"), Texts{"_a_b"});
  EXPECT_EQ(pieces(MetaspacePreTokenizer("_", Prepend::always, false), " a"), Texts{"_a"});
  EXPECT_EQ(pieces(MetaspacePreTokenizer("_", Prepend::first, false), "a", false), Texts{"a"});
  EXPECT_EQ(pieces(MetaspacePreTokenizer("_", Prepend::never, false), "a"), Texts{"a"});
  EXPECT_EQ(pieces(MetaspacePreTokenizer("_", Prepend::always, true), "a  b c"),
            (Texts{"_a", "_", "_b", "_c"}));
}

// PCRE2's own \s takes U+180E along; Unicode's White_Space and Oniguruma do not.
TEST(PreTokenizer, ReadsWhiteSpaceAsUnicodeDoes) {
  EXPECT_EQ(split("\\s+", "a\u180e\u3000b"), (Texts{"a\u180e", "\u3000", "b"}));
  EXPECT_EQ(split("[^\\s]+", "a\u180e\u0085b"), (Texts{"a\u180e", "\u0085", "b"}));
  EXPECT_EQ(split("\\S+", "a\u180e b"), (Texts{"a\u180e", " ", "b"}));
}

TEST(PreTokenizer, RefusesPatternsThatPcre2ReadsInAnotherWay) {
  for (const char* pattern : {"\\h+", "[a[b]]", "[a-z&&b]", "[\\S]", "\\Qa\\E", "[]a]"}) {
    EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"tokenizer.json", "not supported"}),
                       make_pattern(pattern, "tokenizer.json"));
  }
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"tokenizer.json", "'(a'", "PCRE2"}),
                     make_pattern("(a", "tokenizer.json"));
}

TEST(PreTokenizer, SaysWhereMatchingBecomesTooMuch) {
  const std::string text = "b" + std::string(40, 'a');
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"tokenizer.json", "at byte 0"}),
                     split("(a+)+$(?<!a)", text));
}

}  // namespace
}  // namespace quern
