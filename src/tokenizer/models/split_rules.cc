#include "tokenizer/models/split_rules.h"

#include <algorithm>
#include <cstddef>

namespace quern {
namespace {

/// Ids by the hash of a token; a hash of 61 random bits stands for the token itself.
class TokensByHash {
 public:
  explicit TokensByHash(const std::vector<RankedToken>& tokens) {
    entries_.reserve(tokens.size());
    for (const RankedToken& token : tokens) {
      entries_.push_back({PolynomialHash::of(token.text), token.id});
    }
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return a.hash < b.hash; });
    // Where the hashes with these first bits begin.
    starts_.assign((std::size_t{1} << kIndexBits) + 1, 0);
    for (const Entry& entry : entries_) ++starts_[index_of(entry.hash) + 1];
    for (std::size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
  }

  std::int32_t find(std::uint64_t hash) const {
    const std::size_t index = index_of(hash);
    for (std::size_t i = starts_[index]; i < starts_[index + 1]; ++i) {
      if (entries_[i].hash == hash) return entries_[i].id;
    }
    return -1;
  }

 private:
  static constexpr int kIndexBits = 18;
  static std::size_t index_of(std::uint64_t hash) { return hash >> (61 - kIndexBits); }

  struct Entry {
    std::uint64_t hash;
    std::int32_t id;
  };
  std::vector<Entry> entries_;
  std::vector<std::size_t> starts_;
};

std::vector<MergeRules::Rule> all_splits(const std::vector<RankedToken>& tokens,
                                         bool at_characters) {
  const TokensByHash ids(tokens);
  const std::uint64_t base = HashSeed::get().base % PolynomialHash::kPrime;
  std::vector<MergeRules::Rule> rules;
  std::vector<std::uint64_t> prefixes;
  for (const RankedToken& token : tokens) {
    const std::string_view text = token.text;
    prefixes.assign(1, 0);
    for (const char byte : text) prefixes.push_back(PolynomialHash::append(prefixes.back(), byte));
    // From the back, so that the power of the suffix's length grows by one factor at a time.
    std::uint64_t power = 1;
    for (std::size_t cut = text.size(); cut-- > 1;) {
      power = PolynomialHash::multiply(power, base);
      if (at_characters && (static_cast<unsigned char>(text[cut]) & 0xC0u) == 0x80u) continue;
      const std::int32_t left = ids.find(prefixes[cut]);
      if (left < 0) continue;
      const std::uint64_t shifted = PolynomialHash::multiply(prefixes[cut], power);
      const std::uint64_t whole = prefixes.back();
      const std::uint64_t suffix =
          whole >= shifted ? whole - shifted : whole + PolynomialHash::kPrime - shifted;
      const std::int32_t right = ids.find(suffix);
      if (right >= 0) rules.push_back({left, right, token.id, token.rank});
    }
  }
  return rules;
}

MergeRules table_of(const std::vector<MergeRules::Rule>& rules) {
  MergeRules table(rules.size());
  for (const MergeRules::Rule& rule : rules) table.set(rule);
  return table;
}

}  // namespace

MergeRules rules_of_splits(const std::vector<RankedToken>& tokens) {
  return table_of(all_splits(tokens, false));
}

MergeRules ordered_rules_of_splits(const std::vector<RankedToken>& tokens) {
  std::vector<MergeRules::Rule> rules = all_splits(tokens, true);
  // Those of one token stand together, from the longest left part to the shortest.
  for (auto begin = rules.begin(); begin != rules.end();) {
    const auto end = std::find_if(begin, rules.end(), [&](const MergeRules::Rule& rule) {
      return rule.result != begin->result;
    });
    std::reverse(begin, end);
    begin = end;
  }
  std::int32_t rank = 0;
  for (MergeRules::Rule& rule : rules) rule.rank = rank++;
  return table_of(rules);
}

}  // namespace quern
