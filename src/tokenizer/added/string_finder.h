#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/models/string_trie.h"

namespace quern {

/// Finds some strings in a text: the leftmost first, of those the longest, without overlap. An
/// Aho-Corasick automaton over the reversed strings reads the text from its end, so that it knows
/// the longest string that begins at each byte. Cost: linear in the text and in the strings.
/// Source: Aho and Corasick, "Efficient String Matching", 1975.
class StringFinder {
 public:
  struct Entry {
    std::string text;  ///< empty: never found
    std::int32_t value;
  };
  struct Match {
    std::size_t begin;
    std::size_t length;
    std::int32_t value;
  };

  StringFinder() = default;
  /// Of equal texts the one with the lowest value is found.
  explicit StringFinder(const std::vector<Entry>& entries);
  std::vector<Match> find_all(std::string_view text) const;

 private:
  StringTrie trie_;
  std::vector<std::int32_t> fallbacks_;  // by node: the longest proper suffix that is a node
  std::vector<std::int32_t> outputs_;    // by node: the value of the longest string that ends here
  std::vector<std::uint32_t> lengths_;   // by value
};

}  // namespace quern
