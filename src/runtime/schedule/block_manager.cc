#include "runtime/schedule/block_manager.h"

#include <numeric>

#include "base/check.h"

namespace quern {

BlockManager::BlockManager(std::int64_t num_blocks)
    : ref_counts_(static_cast<std::size_t>(num_blocks)), free_(ref_counts_.size()) {
  std::iota(free_.rbegin(), free_.rend(), 0);
}

std::int32_t BlockManager::take() {
  const std::int32_t block = free_.back();
  free_.pop_back();
  ref_counts_[static_cast<std::size_t>(block)] = 1;
  return block;
}

std::optional<std::vector<std::int32_t>> BlockManager::reserve(std::int64_t count) {
  QUERN_CHECK(count >= 0);
  if (count > num_free()) return std::nullopt;
  std::vector<std::int32_t> table(static_cast<std::size_t>(count));
  for (std::int32_t& block : table) block = take();
  return table;
}

bool BlockManager::append(std::vector<std::int32_t>& table) {
  if (free_.empty()) return false;
  table.push_back(free_.back());
  take();
  return true;
}

std::vector<std::int32_t> BlockManager::share(std::span<const std::int32_t> table) {
  std::vector<std::int32_t> shared(table.begin(), table.end());
  for (const std::int32_t block : shared) {
    QUERN_CHECK(ref_count(block) > 0, "block {} is shared, which nobody holds", block);
    ++ref_counts_[static_cast<std::size_t>(block)];
  }
  return shared;
}

std::optional<BlockCopy> BlockManager::make_writable(std::vector<std::int32_t>& table,
                                                     std::size_t index) {
  std::int32_t& block = table.at(index);
  const std::int32_t source = block;
  QUERN_CHECK(ref_count(source) > 0, "block {} is written to, which nobody holds", source);
  if (ref_count(source) == 1) return BlockCopy{source, source};
  if (free_.empty()) return std::nullopt;
  block = take();
  --ref_counts_[static_cast<std::size_t>(source)];
  return BlockCopy{source, block};
}

void BlockManager::release(std::span<const std::int32_t> table) {
  // In reverse, so that the next table gets them in the same order.
  for (std::size_t i = table.size(); i-- > 0;) {
    const std::int32_t block = table[i];
    QUERN_CHECK(ref_count(block) > 0, "block {} is released, which nobody holds", block);
    // free_ has capacity for all blocks: this does not allocate.
    if (--ref_counts_[static_cast<std::size_t>(block)] == 0) free_.push_back(block);
  }
}

}  // namespace quern
