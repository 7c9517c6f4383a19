#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "graph/step.h"

namespace quern {

/// Hands out the KV cache's blocks and counts who holds each: a block table is one holder of each
/// of its blocks. Sequences that begin with the same tokens may share blocks; a shared one is
/// copied before one of them writes into it. Every call is all or nothing.
class BlockManager {
 public:
  explicit BlockManager(std::int64_t num_blocks);

  /// The blocks of a new table, `count` of them; nothing when fewer are free.
  std::optional<std::vector<std::int32_t>> reserve(std::int64_t count);
  /// Adds one block to a table; false when none is free.
  bool append(std::vector<std::int32_t>& table);
  /// A second table over the same blocks: one more holder of each.
  std::vector<std::int32_t> share(std::span<const std::int32_t> table);
  /// Makes block `index` of the table its own, before it is written to. Where others hold the
  /// block too, a free one takes its place in the table, and the caller copies the content
  /// (Backend::copy_blocks) before the next step; where source and destination are the same block
  /// there is nothing to copy. Nothing when a copy is needed and no block is free.
  std::optional<BlockCopy> make_writable(std::vector<std::int32_t>& table, std::size_t index);
  /// Gives up a table. What nobody holds any more is free.
  void release(std::span<const std::int32_t> table);

  std::int64_t num_blocks() const { return static_cast<std::int64_t>(ref_counts_.size()); }
  std::int64_t num_free() const { return static_cast<std::int64_t>(free_.size()); }
  int ref_count(std::int32_t block) const { return ref_counts_.at(block); }

 private:
  std::int32_t take();

  std::vector<std::int32_t> ref_counts_;  ///< by block: the tables that hold it
  std::vector<std::int32_t>
      free_;  ///< a stack: blocks used last, still warm in cache, are used next
};

}  // namespace quern
