#include "runtime/schedule/kv_blocks.h"

#include <numeric>

namespace quern {

KvBlocks::KvBlocks(std::int64_t num_blocks) : free_(static_cast<std::size_t>(num_blocks)) {
  std::iota(free_.rbegin(), free_.rend(), 0);
}

std::optional<std::vector<std::int32_t>> KvBlocks::reserve(std::int64_t count) {
  if (count > num_free()) return std::nullopt;
  std::vector<std::int32_t> blocks(free_.rbegin(), free_.rbegin() + count);
  free_.resize(free_.size() - blocks.size());
  return blocks;
}

void KvBlocks::release(const std::vector<std::int32_t>& blocks) {
  free_.insert(free_.end(), blocks.rbegin(), blocks.rend());
}

}  // namespace quern
