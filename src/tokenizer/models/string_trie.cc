#include "tokenizer/models/string_trie.h"

#include <algorithm>

namespace quern {

StringTrie::StringTrie(std::vector<Entry> entries) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    const int order = a.text.compare(b.text);
    return order != 0 ? order < 0 : a.value < b.value;
  });
  // Level by level: each node stands for a range of the sorted entries that agree so far.
  struct Range {
    std::size_t first;
    std::size_t last;
  };
  std::vector<Range> level = {{0, entries.size()}};
  nodes_.emplace_back();
  for (std::size_t depth = 0; !level.empty(); ++depth) {
    std::vector<Range> next_level;
    for (const Range& range : level) {
      const std::size_t node = edge_begins_.size();
      edge_begins_.push_back(static_cast<std::uint32_t>(bytes_.size()));
      std::size_t i = range.first;
      while (i < range.last && entries[i].text.size() == depth) {
        if (nodes_[node].value == kNone) nodes_[node].value = entries[i].value;
        ++i;
      }
      while (i < range.last) {
        const char byte = entries[i].text[depth];
        std::size_t end = i + 1;
        while (end < range.last && entries[end].text[depth] == byte) ++end;
        bytes_.push_back(static_cast<unsigned char>(byte));
        nodes_.emplace_back();
        next_level.push_back({i, end});
        i = end;
      }
    }
    level = std::move(next_level);
  }
  edge_begins_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  root_.fill(kNone);
  for (std::uint32_t e = 0; e < edge_begins_[1]; ++e) {
    root_[bytes_[e]] = static_cast<std::int32_t>(e + 1);
  }
}

std::int32_t StringTrie::child(std::int32_t node, unsigned char byte) const {
  if (node == 0) return root_[byte];
  const auto begin = bytes_.begin() + edge_begins_[static_cast<std::size_t>(node)];
  const auto end = bytes_.begin() + edge_begins_[static_cast<std::size_t>(node) + 1];
  const auto edge = std::lower_bound(begin, end, byte);
  return edge == end || *edge != byte ? kNone
                                      : static_cast<std::int32_t>(edge - bytes_.begin()) + 1;
}

}  // namespace quern
