#include "runtime/schedule/block_manager.h"

#include <numeric>

#include "base/check.h"

namespace quern {

BlockManager::BlockManager(std::int64_t num_blocks)
    : ref_counts_(static_cast<std::size_t>(num_blocks)),
      free_(ref_counts_.size()),
      cache_(num_blocks),
      links_(ref_counts_.size() + 1) {
  std::iota(free_.rbegin(), free_.rend(), 0);
  links(list_end()) = {list_end(), list_end()};
}

std::int32_t BlockManager::take() {
  std::int32_t block = 0;
  if (!free_.empty()) {
    block = free_.back();
    free_.pop_back();
  } else {
    block = links(list_end()).next;
    remove_cached(block);
    cache_.remove(block);
  }
  ref_counts_[static_cast<std::size_t>(block)] = 1;
  return block;
}

void BlockManager::append_cached(std::int32_t block) {
  const std::int32_t last = links(list_end()).previous;
  links(block) = {last, list_end()};
  links(last).next = block;
  links(list_end()).previous = block;
  ++num_cached_;
}

void BlockManager::remove_cached(std::int32_t block) {
  const auto [previous, next] = links(block);
  links(previous).next = next;
  links(next).previous = previous;
  --num_cached_;
}

std::optional<std::vector<std::int32_t>> BlockManager::reserve(std::int64_t count) {
  QUERN_CHECK(count >= 0);
  if (count > num_free()) return std::nullopt;
  std::vector<std::int32_t> table(static_cast<std::size_t>(count));
  for (std::int32_t& block : table) block = take();
  return table;
}

bool BlockManager::append(std::vector<std::int32_t>& table) {
  if (num_free() == 0) return false;
  table.reserve(table.size() + 1);
  table.push_back(take());
  return true;
}

std::vector<std::int32_t> BlockManager::share(std::span<const std::int32_t> table) {
  std::vector<std::int32_t> shared(table.begin(), table.end());
  for (const std::int32_t block : shared) {
    QUERN_CHECK(ref_count(block) > 0 || cache_.contains(block),
                "block {} is shared, which nobody holds", block);
  }
  for (const std::int32_t block : shared) {
    if (ref_counts_[static_cast<std::size_t>(block)]++ == 0) remove_cached(block);
  }
  return shared;
}

std::optional<BlockCopy> BlockManager::make_writable(std::vector<std::int32_t>& table,
                                                     std::size_t index) {
  std::int32_t& block = table.at(index);
  const std::int32_t source = block;
  QUERN_CHECK(ref_count(source) > 0, "block {} is written to, which nobody holds", source);
  if (ref_count(source) == 1) {
    cache_.remove(source);
    return BlockCopy{source, source};
  }
  if (num_free() == 0) return std::nullopt;
  block = take();
  --ref_counts_[static_cast<std::size_t>(source)];
  return BlockCopy{source, block};
}

void BlockManager::release(std::span<const std::int32_t> table) {
  // In reverse, so that the next table gets them in the same order, and cached prefixes lose their
  // ends first.
  for (std::size_t i = table.size(); i-- > 0;) {
    const std::int32_t block = table[i];
    QUERN_CHECK(ref_count(block) > 0, "block {} is released, which nobody holds", block);
    if (--ref_counts_[static_cast<std::size_t>(block)] > 0) continue;
    if (cache_.contains(block)) {
      append_cached(block);
    } else {
      free_.push_back(block);  // has capacity for all blocks: this does not allocate
    }
  }
}

void BlockManager::publish(std::int32_t block, const PrefixBlock& content) {
  QUERN_CHECK(ref_count(block) > 0, "block {} is published, which nobody holds", block);
  cache_.add(block, content);
}

void BlockManager::forget(std::span<const std::int32_t> blocks) {
  for (const std::int32_t block : blocks) {
    if (!cache_.remove(block) || ref_count(block) > 0) continue;
    remove_cached(block);
    free_.push_back(block);
  }
}

void BlockManager::forget_all() {
  std::vector<std::int32_t> all(ref_counts_.size());
  std::iota(all.begin(), all.end(), 0);
  forget(all);
}

}  // namespace quern
