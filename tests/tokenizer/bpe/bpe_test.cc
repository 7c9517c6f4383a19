#include "tokenizer/bpe/bpe.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

Bpe::ByteIds identity() {
  Bpe::ByteIds ids{};
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i);
  return ids;
}

Bpe make_bpe(const std::vector<Bpe::Rule>& rules) {
  Bpe bpe(rules.size(), identity());
  for (const Bpe::Rule& rule : rules) EXPECT_TRUE(bpe.add(rule));
  return bpe;
}

Ids encode(const Bpe& bpe, std::string_view text) {
  Bpe::Scratch scratch;
  Ids ids;
  bpe.encode(text, scratch, ids);
  return ids;
}

/// The definition: look through all pairs, merge the leftmost of the lowest rank, start again.
Ids encode_by_definition(const std::vector<Bpe::Rule>& rules, std::string_view text) {
  std::map<std::pair<std::int32_t, std::int32_t>, const Bpe::Rule*> by_pair;
  for (const Bpe::Rule& rule : rules) by_pair[{rule.left, rule.right}] = &rule;
  Ids ids;
  for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  while (true) {
    const Bpe::Rule* best = nullptr;
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
  const Bpe bpe = make_bpe({{'a', 'b', 256, 1}, {'b', 'c', 257, 0}, {'a', 257, 258, 2}});
  EXPECT_EQ(encode(bpe, "abc"), Ids{258});
  EXPECT_EQ(encode(bpe, "abab"), (Ids{256, 256}));
  EXPECT_EQ(encode(bpe, "abbc"), (Ids{256, 257}));
  EXPECT_EQ(encode(bpe, ""), Ids{});
  EXPECT_EQ(encode(bpe, "x"), Ids{'x'});
}

TEST(Bpe, MergesTheLeftmostOfEquals) {
  const Bpe bpe = make_bpe({{'a', 'a', 256, 0}});
  EXPECT_EQ(encode(bpe, "aaaaa"), (Ids{256, 256, 'a'}));
}

TEST(Bpe, TakesOneRuleForAPair) {
  Bpe bpe(2, identity());
  EXPECT_TRUE(bpe.add({'a', 'b', 256, 0}));
  EXPECT_FALSE(bpe.add({'a', 'b', 257, 1}));
  EXPECT_EQ(encode(bpe, "ab"), Ids{256});
}

TEST(Bpe, AgreesWithTheDefinitionOnRandomRules) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    std::vector<Bpe::Rule> rules;
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
    const Bpe bpe = make_bpe(rules);
    for (int i = 0; i < 20; ++i) {
      std::string text;
      for (std::size_t n = random() % 60; n > 0; --n) text += "abc"[random() % 3];
      ASSERT_EQ(encode(bpe, text), encode_by_definition(rules, text)) << text;
    }
  }
}

}  // namespace
}  // namespace quern
