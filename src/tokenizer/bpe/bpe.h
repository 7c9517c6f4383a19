#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace quern {

/// Byte-pair encoding over bytes: starting from one token per byte, the neighbouring pair of the
/// lowest rank becomes one token, the leftmost first, until no pair has a rule. Immutable: threads
/// may share it. Source: Sennrich et al., "Neural Machine Translation of Rare Words with Subword
/// Units", 2016.
class Bpe {
 public:
  /// "`left` next to `right` may become `result`"; the rank says which rule goes first.
  struct Rule {
    std::int32_t left;
    std::int32_t right;
    std::int32_t result;
    std::int32_t rank;
  };
  /// The ids of the single bytes; -1 for a byte without a token.
  using ByteIds = std::array<std::int32_t, 256>;

  /// Room for `max_rules` rules, none there yet.
  Bpe(std::size_t max_rules, const ByteIds& byte_ids);

  /// False when the pair already has a rule; that one stays.
  [[nodiscard]] bool add(const Rule& rule);

  struct Symbol {
    std::int32_t id;  ///< -1 once it has become part of its left neighbour
    std::int32_t previous;
    std::int32_t next;
  };
  struct Candidate {
    std::int32_t rank;
    std::int32_t position;
    std::int32_t result;
  };
  /// Working memory, kept from one call to the next.
  struct Scratch {
    std::vector<Symbol> symbols;
    std::vector<Candidate> candidates;
  };

  /// Appends the ids of `bytes`, fewer than 2^31. A byte without a token must not occur.
  /// Cost: O(n log n) for n bytes.
  void encode(std::string_view bytes, Scratch& scratch, std::vector<std::int32_t>& ids) const;

 private:
  static constexpr std::int32_t kFree = -1;

  /// Where the rule of the pair is, or the free place where it would go.
  std::size_t find(std::int32_t left, std::int32_t right) const;
  void push_candidate(std::int32_t left_position, Scratch& scratch) const;

  ByteIds byte_ids_;
  std::vector<Rule> rules_;  // a hash table with open addressing; left is kFree in free places
  int hash_shift_ = 0;
};

}  // namespace quern
