#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "graph/step.h"
#include "runtime/schedule/prefix_cache.h"

namespace quern {

/// Allocates the KV cache's blocks and counts references: every block table holds one reference to
/// each of its blocks. Sequences with a common prefix may share blocks; a shared block is copied
/// before it is written to (copy-on-write). Every call is all or nothing.
///
/// A published block's content can be found by its prefix. It stays cached when its last reference
/// goes: it then counts as free, but is reused only when no other block is free, the least recently
/// used first. A table's later blocks count as used before its earlier ones, so that a prefix
/// loses its end first.
class BlockManager {
 public:
  explicit BlockManager(std::int64_t num_blocks);

  /// Allocates a table of `count` blocks; nothing when fewer are free.
  std::optional<std::vector<std::int32_t>> reserve(std::int64_t count);
  /// Appends one block to a table; false when none is free.
  bool append(std::vector<std::int32_t>& table);
  /// A second table over the same blocks, held or cached; adds a reference to each.
  std::vector<std::int32_t> share(std::span<const std::int32_t> table);
  /// Makes block `index` of the table exclusive before it is written to. A shared block is replaced
  /// by a free one, and the caller copies its content (Backend::copy_blocks) before the next step;
  /// equal source and destination mean that there is nothing to copy. Nothing when a copy is needed
  /// and no block is free. An exclusive block's published content is forgotten.
  std::optional<BlockCopy> make_writable(std::vector<std::int32_t>& table, std::size_t index);
  /// Drops a table's references; blocks without references are free again.
  void release(std::span<const std::int32_t> table);

  /// Makes a held block's content known. No effect where it is published already, or an equal block
  /// is.
  void publish(std::int32_t block, const PrefixBlock& content);
  /// The published block with this content, held or cached.
  std::optional<std::int32_t> find(const PrefixBlock& content) const {
    return cache_.find(content);
  }
  /// Forgets the published content of blocks, held or not.
  void forget(std::span<const std::int32_t> blocks);
  /// Forgets all published content.
  void forget_all();

  std::int64_t num_blocks() const { return static_cast<std::int64_t>(ref_counts_.size()); }
  /// Blocks that can be allocated, cached ones included.
  std::int64_t num_free() const { return std::ssize(free_) + num_cached_; }
  /// Blocks without references whose content can still be found.
  std::int64_t num_cached() const { return num_cached_; }
  /// Blocks whose content can be found, held ones included.
  std::int64_t num_published() const { return cache_.size(); }
  int ref_count(std::int32_t block) const { return ref_counts_.at(block); }

 private:
  /// Neighbours in the list of cached blocks, from the least to the most recently used; its end is
  /// the element after those of the blocks.
  struct Links {
    std::int32_t previous = 0;
    std::int32_t next = 0;
  };

  std::int32_t take();
  void append_cached(std::int32_t block);
  void remove_cached(std::int32_t block);
  Links& links(std::int32_t block) { return links_[static_cast<std::size_t>(block)]; }
  std::int32_t list_end() const { return static_cast<std::int32_t>(ref_counts_.size()); }

  std::vector<std::int32_t> ref_counts_;  ///< by block: the number of tables that hold it
  std::vector<std::int32_t> free_;  ///< a stack (LIFO): the most recently used blocks are reused
                                    ///< first, while they are in cache
  PrefixCache cache_;
  std::vector<Links> links_;
  std::int64_t num_cached_ = 0;
};

}  // namespace quern
