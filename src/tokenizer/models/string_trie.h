#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quern {

/// A trie over byte strings. Nodes are numbered level by level; the root is 0. Memory: 24 bytes for
/// each byte of the strings. Cost: O(n log n) to build.
class StringTrie {
 public:
  struct Entry {
    std::string_view text;  ///< not empty
    std::int32_t value;     ///< 0 or more
  };
  static constexpr std::int32_t kNone = -1;

  StringTrie() : StringTrie(std::vector<Entry>()) {}
  /// Of equal texts the first in order of value counts.
  explicit StringTrie(std::vector<Entry> entries);

  std::int32_t root_child(unsigned char byte) const { return root_[byte]; }
  /// kNone when there is none.
  std::int32_t child(std::int32_t node, unsigned char byte) const;
  /// kNone when no string ends here.
  std::int32_t value(std::int32_t node) const {
    return nodes_[static_cast<std::size_t>(node)].value;
  }
  std::size_t num_nodes() const { return nodes_.size(); }

  /// Calls `take(parent, byte, child)` for all nodes but the root, parents first.
  template <typename Take>
  void for_each_child(const Take& take) const {
    for (std::size_t node = 0; node + 1 < edge_begins_.size(); ++node) {
      for (std::uint32_t e = edge_begins_[node]; e < edge_begins_[node + 1]; ++e) {
        take(static_cast<std::int32_t>(node), bytes_[e], static_cast<std::int32_t>(e + 1));
      }
    }
  }

 private:
  struct Node {
    std::int32_t value = kNone;
  };
  std::vector<Node> nodes_;
  // The children of a node are the nodes behind its edges, which are numbered in the same order.
  std::vector<std::uint32_t> edge_begins_;
  std::vector<unsigned char> bytes_;
  std::array<std::int32_t, 256> root_{};
};

}  // namespace quern
