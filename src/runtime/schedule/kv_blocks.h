#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace quern {

/// Hands out the KV cache's blocks. A sequence reserves at admission all blocks that it can come to
/// need, so a running one never waits for memory and never has to be evicted (docs/adr/0002).
class KvBlocks {
 public:
  explicit KvBlocks(std::int64_t num_blocks);

  /// That many block numbers, or nothing when fewer are free.
  std::optional<std::vector<std::int32_t>> reserve(std::int64_t count);
  void release(const std::vector<std::int32_t>& blocks);
  std::int64_t num_free() const { return static_cast<std::int64_t>(free_.size()); }

 private:
  std::vector<std::int32_t>
      free_;  ///< a stack: blocks used last, still warm in cache, are used next
};

}  // namespace quern
