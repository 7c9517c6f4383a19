#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/schedule/prefix_hash.h"

namespace quern {

/// A full block's place in a prefix: what comes before it, and its own tokens.
struct PrefixBlock {
  PrefixHash parent;  ///< the hash of the block before it, or the root
  PrefixHash hash;
  std::span<const std::int32_t> token_ids;  ///< as many as a block has slots
};

/// Which blocks hold the keys and values of which prefix. A block's tokens and its parent's hash
/// are kept and compared, so equal hashes alone never give another prompt's content.
class PrefixCache {
 public:
  explicit PrefixCache(std::int64_t num_blocks) : by_block_(static_cast<std::size_t>(num_blocks)) {}

  /// The block with this content, if there is one.
  std::optional<std::int32_t> find(const PrefixBlock& content) const;
  /// Records a block's content; false, with nothing recorded, where the block has one already or
  /// another block has the same hash.
  bool add(std::int32_t block, const PrefixBlock& content);
  /// Forgets a block's content; true where it had one.
  bool remove(std::int32_t block);
  bool contains(std::int32_t block) const {
    return by_block_[static_cast<std::size_t>(block)].has_value();
  }
  std::int64_t size() const { return static_cast<std::int64_t>(by_hash_.size()); }

 private:
  struct Content {
    PrefixHash parent;
    PrefixHash hash;
    std::vector<std::int32_t> token_ids;
  };

  std::vector<std::optional<Content>> by_block_;
  std::unordered_map<PrefixHash, std::int32_t, PrefixHashBits> by_hash_;
};

}  // namespace quern
