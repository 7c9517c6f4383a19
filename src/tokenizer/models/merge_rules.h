#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "tokenizer/models/seeded_hash.h"

namespace quern {

/// The rules of byte-pair encoding: which pairs of symbols become one, and which pair goes first.
class MergeRules {
 public:
  /// "`left` next to `right` may become `result`"; the lowest rank goes first.
  struct Rule {
    std::int32_t left = kFree;
    std::int32_t right = kFree;
    std::int32_t result = 0;
    std::int32_t rank = 0;
  };
  static constexpr std::int32_t kNoRank = std::numeric_limits<std::int32_t>::max();

  /// Room for `max_rules` rules, none there yet.
  explicit MergeRules(std::size_t max_rules = 0);

  /// Of two rules for one pair the later one counts.
  void set(const Rule& rule) { rules_[place_of(rule.left, rule.right)] = rule; }
  /// The rule of the pair, or null.
  const Rule* find(std::int32_t left, std::int32_t right) const {
    const Rule& rule = rules_[place_of(left, right)];
    return rule.left == kFree ? nullptr : &rule;
  }

 private:
  static constexpr std::int32_t kFree = -1;

  /// Where the pair's rule is, or the free place where it would go.
  std::size_t place_of(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
                              static_cast<std::uint32_t>(right);
    std::size_t at = seeded_hash(key) & mask_;
    while (rules_[at].left != kFree && (rules_[at].left != left || rules_[at].right != right)) {
      at = (at + 1) & mask_;
    }
    return at;
  }

  std::vector<Rule> rules_;  // a hash table with open addressing
  std::size_t mask_ = 0;
};

/// Working memory of merge_symbols(), kept from one call to the next.
struct MergeScratch {
  struct Symbol {
    std::int32_t id;  ///< -1 once it has become part of its left neighbour
    std::int32_t previous;
    std::int32_t next;
  };
  std::vector<Symbol> symbols;
  std::vector<std::uint64_t> candidates;
  std::vector<std::int32_t> initial;
};

/// Appends symbols until there are `size` or a few more; fewer at the end of the text alone.
using FillSymbols = std::function<void(std::vector<std::int32_t>& symbols, std::size_t size)>;

/// Byte-pair encoding: the neighbouring pair of the lowest rank becomes one symbol, the leftmost
/// first, until no pair has a rule. Appends what is left of the symbols to `ids`. Cost: O(n log n)
/// for n symbols; memory for a window of them, however many there are. Source: Sennrich et al.,
/// "Neural Machine Translation of Rare Words with Subword Units", 2016.
void merge_symbols(const MergeRules& rules, const FillSymbols& fill, MergeScratch& scratch,
                   std::vector<std::int32_t>& ids);

}  // namespace quern
