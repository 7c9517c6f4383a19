#pragma once

#include <compare>
#include <span>
#include <vector>

namespace quern {

/// Key of a recorded decode step: padded batch size and an upper bound of the longest context.
struct DecodeShape {
  int num_seqs = 0;
  int max_kv_len = 0;
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the defaulted comparison for a 0
  auto operator<=>(const DecodeShape&) const = default;
};

/// The buckets for which decode steps are recorded. A batch is padded to the next num_seqs, so that
/// all recordings can be made at load; context buckets spare short contexts the launch grid of long
/// ones. See docs/adr/0015-recordings-are-bucketed.md.
class DecodeBuckets {
 public:
  /// Maximum number of buckets of an engine.
  static constexpr int kMaxShapes = 32;

  /// No buckets: nothing is recorded and no batch is padded.
  DecodeBuckets() = default;
  /// For batches of 1 to max_seqs sequences of at most max_seq_len tokens.
  DecodeBuckets(int max_seqs, int max_seq_len);

  bool empty() const { return num_seqs_.empty(); }
  /// All buckets, in order: at most kMaxShapes.
  std::vector<DecodeShape> shapes() const;
  /// The smallest bucket that holds a batch; not for an empty object. A `kv_len` beyond max_seq_len
  /// is clamped to it.
  DecodeShape shape_for(int num_seqs, int kv_len) const;

 private:
  std::span<const int> kv_lens(int num_seqs) const;

  std::vector<int> num_seqs_;  ///< ascending
  std::vector<int> kv_lens_;   ///< ascending, the last is max_seq_len
};

}  // namespace quern
