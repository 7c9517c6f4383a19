#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "tokenizer/models/merge_rules.h"

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

MergeRules make_rules(const std::vector<MergeRules::Rule>& rules) {
  MergeRules made(rules.size());
  for (const MergeRules::Rule& rule : rules) made.set(rule);
  return made;
}

Ids encode(const MergeRules& rules, std::string_view text) {
  MergeScratch scratch;
  Ids ids;
  std::size_t at = 0;
  merge_symbols(
      rules,
      [&](std::vector<std::int32_t>& symbols, std::size_t size) {
        while (at < text.size() && symbols.size() < size) {
          symbols.push_back(static_cast<unsigned char>(text[at++]));
        }
      },
      scratch, ids);
  return ids;
}

/// The definition: look through all pairs, merge the leftmost of the lowest rank, start again.
Ids encode_by_definition(const std::vector<MergeRules::Rule>& rules, std::string_view text) {
  std::map<std::pair<std::int32_t, std::int32_t>, const MergeRules::Rule*> by_pair;
  for (const MergeRules::Rule& rule : rules) by_pair[{rule.left, rule.right}] = &rule;
  Ids ids;
  for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  while (true) {
    const MergeRules::Rule* best = nullptr;
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto it = by_pair.find({ids[i], ids[i + 1]});
      if (it != by_pair.end() && (best == nullptr || it->second->rank < best->rank)) {
        best = it->second;
        place = i;
      }
    }
    if (best == nullptr) return ids;
    ids[place] = best->result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

TEST(Bpe, MergesTheLowestRankFirst) {
  const MergeRules bpe = make_rules({{'a', 'b', 256, 1}, {'b', 'c', 257, 0}, {'a', 257, 258, 2}});
  EXPECT_EQ(encode(bpe, "abc"), Ids{258});
  EXPECT_EQ(encode(bpe, "abab"), (Ids{256, 256}));
  EXPECT_EQ(encode(bpe, "abbc"), (Ids{256, 257}));
  EXPECT_EQ(encode(bpe, ""), Ids{});
  EXPECT_EQ(encode(bpe, "x"), Ids{'x'});
}

TEST(Bpe, MergesTheLeftmostOfEquals) {
  const MergeRules bpe = make_rules({{'a', 'a', 256, 0}});
  EXPECT_EQ(encode(bpe, "aaaaa"), (Ids{256, 256, 'a'}));
}

TEST(Bpe, TheLaterOfTwoRulesForAPairCounts) {
  const MergeRules rules = make_rules({{'a', 'b', 256, 0}, {'b', 'c', 257, 1}, {'a', 'b', 256, 2}});
  EXPECT_EQ(encode(rules, "abc"), (Ids{'a', 257}));
}

// More symbols than one window of merge_symbols() holds.
TEST(Bpe, EncodesALongTextInWindows) {
  const MergeRules rules = make_rules({{'a', 'a', 256, 0}, {256, 256, 257, 1}, {257, 'b', 258, 2}});
  Ids expected(700'000, 257);
  expected.push_back('a');
  EXPECT_EQ(encode(rules, std::string(2'800'001, 'a')), expected);
}

TEST(Bpe, AgreesWithTheDefinitionOnRandomRules) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    std::vector<MergeRules::Rule> rules;
    std::vector<std::int32_t> tokens = {'a', 'b', 'c'};
    std::map<std::pair<std::int32_t, std::int32_t>, bool> used;
    for (std::int32_t rank = 0; rank < 25; ++rank) {
      const auto pick = [&] { return tokens[random() % tokens.size()]; };
      const std::int32_t left = pick();
      const std::int32_t right = pick();
      if (used[{left, right}]) continue;
      used[{left, right}] = true;
      rules.push_back({left, right, 256 + rank, rank});
      tokens.push_back(256 + rank);
    }
    const MergeRules bpe = make_rules(rules);
    for (int i = 0; i < 20; ++i) {
      std::string text;
      for (std::size_t n = random() % 60; n > 0; --n) text += "abc"[random() % 3];
      ASSERT_EQ(encode(bpe, text), encode_by_definition(rules, text)) << text;
    }
  }
}

}  // namespace
}  // namespace quern
