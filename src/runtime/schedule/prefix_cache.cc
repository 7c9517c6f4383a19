#include "runtime/schedule/prefix_cache.h"

#include <algorithm>

namespace quern {

std::optional<std::int32_t> PrefixCache::find(const PrefixBlock& content) const {
  const auto found = by_hash_.find(content.hash);
  if (found == by_hash_.end()) return std::nullopt;
  const Content& cached = *by_block_[static_cast<std::size_t>(found->second)];
  const bool equal =
      cached.parent == content.parent && std::ranges::equal(cached.token_ids, content.token_ids);
  return equal ? std::optional(found->second) : std::nullopt;
}

bool PrefixCache::add(std::int32_t block, const PrefixBlock& content) {
  auto& entry = by_block_[static_cast<std::size_t>(block)];
  if (entry || by_hash_.contains(content.hash)) return false;
  entry =
      Content{content.parent, content.hash, {content.token_ids.begin(), content.token_ids.end()}};
  try {
    by_hash_.emplace(content.hash, block);
  } catch (...) {
    entry.reset();
    throw;
  }
  return true;
}

bool PrefixCache::remove(std::int32_t block) {
  auto& entry = by_block_[static_cast<std::size_t>(block)];
  if (!entry) return false;
  by_hash_.erase(entry->hash);
  entry.reset();
  return true;
}

}  // namespace quern
