#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "graph/step.h"

namespace quern {

/// Allocates the KV cache's blocks and counts references: every block table holds one reference to
/// each of its blocks. Sequences with a common prefix may share blocks; a shared block is copied
/// before it is written to (copy-on-write). Every call is all or nothing.
class BlockManager {
 public:
  explicit BlockManager(std::int64_t num_blocks);

  /// Allocates a table of `count` blocks; nothing when fewer are free.
  std::optional<std::vector<std::int32_t>> reserve(std::int64_t count);
  /// Appends one block to a table; false when none is free.
  bool append(std::vector<std::int32_t>& table);
  /// A second table over the same blocks; adds a reference to each.
  std::vector<std::int32_t> share(std::span<const std::int32_t> table);
  /// Makes block `index` of the table exclusive before it is written to. A shared block is replaced
  /// by a free one, and the caller copies its content (Backend::copy_blocks) before the next step;
  /// equal source and destination mean that there is nothing to copy. Nothing when a copy is needed
  /// and no block is free.
  std::optional<BlockCopy> make_writable(std::vector<std::int32_t>& table, std::size_t index);
  /// Drops a table's references; blocks without references are free again.
  void release(std::span<const std::int32_t> table);

  std::int64_t num_blocks() const { return static_cast<std::int64_t>(ref_counts_.size()); }
  std::int64_t num_free() const { return static_cast<std::int64_t>(free_.size()); }
  int ref_count(std::int32_t block) const { return ref_counts_.at(block); }

 private:
  std::int32_t take();

  std::vector<std::int32_t> ref_counts_;  ///< by block: the number of tables that hold it
  std::vector<std::int32_t> free_;  ///< a stack (LIFO): the most recently used blocks are reused
                                    ///< first, while they are in cache
};

}  // namespace quern
