#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

#include "graph/kv_format.h"

namespace quern {

/// What a block's content depends on besides the tokens up to its end. Sequences whose identities
/// differ share no block.
struct PrefixIdentity {
  float rope_alpha = 1.0f;    ///< SequenceState::rope_alpha
  KvFormat kv_format;         ///< of the cache
  std::uint64_t adapter = 0;  ///< of the weights; 0: none
  std::uint64_t request = 0;  ///< only the answers of this request may share; 0: all may

  bool operator==(const PrefixIdentity&) const = default;
};

/// The chained hash of a full block: over the hash of the block before it and its own token ids.
struct PrefixHash {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  bool operator==(const PrefixHash&) const = default;
};

/// For unordered containers: the hash is uniform already.
struct PrefixHashBits {
  std::size_t operator()(const PrefixHash& hash) const {
    return static_cast<std::size_t>(hash.low);
  }
};

/// SipHash-2-4 with 128 bits of output. With a secret key nobody can choose prompts whose hashes
/// collide. Source: Aumasson, Bernstein, SipHash: a fast short-input PRF (2012).
class PrefixHasher {
 public:
  struct Key {
    std::uint64_t first = 0;
    std::uint64_t second = 0;
  };

  explicit PrefixHasher(const Key& key) : key_(key) {}

  PrefixHash hash(std::span<const std::byte> bytes) const;
  /// Stands for the block before a sequence's first.
  PrefixHash root(const PrefixIdentity& identity) const;
  /// The hash of a full block after `parent`.
  PrefixHash block(const PrefixHash& parent, std::span<const std::int32_t> token_ids) const;

 private:
  Key key_;
};

}  // namespace quern
