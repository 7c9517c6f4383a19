#include "tokenizer/added/string_finder.h"

#include <algorithm>

namespace quern {

StringFinder::StringFinder(const std::vector<Entry>& entries) {
  std::vector<std::string> reversed;
  reversed.reserve(entries.size());
  std::vector<StringTrie::Entry> trie_entries;
  for (const Entry& entry : entries) {
    if (entry.text.empty()) continue;
    reversed.emplace_back(entry.text.rbegin(), entry.text.rend());
    trie_entries.push_back({reversed.back(), entry.value});
    const auto value = static_cast<std::size_t>(entry.value);
    if (lengths_.size() <= value) lengths_.resize(value + 1);
    lengths_[value] = static_cast<std::uint32_t>(entry.text.size());
  }
  trie_ = StringTrie(std::move(trie_entries));
  fallbacks_.assign(trie_.num_nodes(), 0);
  outputs_.assign(trie_.num_nodes(), StringTrie::kNone);
  trie_.for_each_child([&](std::int32_t parent, unsigned char byte, std::int32_t node) {
    std::int32_t fallback = 0;
    if (parent != 0) {
      std::int32_t state = fallbacks_[static_cast<std::size_t>(parent)];
      while (state != 0 && trie_.child(state, byte) == StringTrie::kNone) {
        state = fallbacks_[static_cast<std::size_t>(state)];
      }
      fallback = std::max(trie_.child(state, byte), 0);
    }
    fallbacks_[static_cast<std::size_t>(node)] = fallback;
    const std::int32_t own = trie_.value(node);
    outputs_[static_cast<std::size_t>(node)] =
        own != StringTrie::kNone ? own : outputs_[static_cast<std::size_t>(fallback)];
  });
}

std::vector<StringFinder::Match> StringFinder::find_all(std::string_view text) const {
  std::vector<Match> found;
  if (lengths_.empty()) return found;
  std::int32_t state = 0;
  for (std::size_t at = text.size(); at-- > 0;) {
    const auto byte = static_cast<unsigned char>(text[at]);
    std::int32_t next = trie_.child(state, byte);
    while (next == StringTrie::kNone && state != 0) {
      state = fallbacks_[static_cast<std::size_t>(state)];
      next = trie_.child(state, byte);
    }
    state = std::max(next, 0);
    const std::int32_t value = outputs_[static_cast<std::size_t>(state)];
    if (value != StringTrie::kNone) {
      found.push_back({at, lengths_[static_cast<std::size_t>(value)], value});
    }
  }
  std::reverse(found.begin(), found.end());
  std::size_t done = 0;
  std::erase_if(found, [&](const Match& match) {
    if (match.begin < done) return true;
    done = match.begin + match.length;
    return false;
  });
  return found;
}

}  // namespace quern
