#pragma once

#include <compare>
#include <span>
#include <vector>

namespace quern {

/// A decode batch's size and a bound of its longest context: what a recorded step is made for.
struct DecodeShape {
  int num_seqs = 0;
  int max_kv_len = 0;
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the defaulted comparison for a 0
  auto operator<=>(const DecodeShape&) const = default;
};

/// The shapes in which decode steps are recorded. A batch is padded to the next num_seqs, so that
/// recordings are few enough to be made while loading; a bound of the context spares short contexts
/// a launch made for long ones. See docs/adr/0015-recordings-are-bucketed.md.
class DecodeBuckets {
 public:
  /// The most shapes of one engine.
  static constexpr int kMaxShapes = 32;

  /// No shape: nothing is recorded and no batch is padded.
  DecodeBuckets() = default;
  /// For batches of 1 to max_seqs sequences of at most max_seq_len tokens.
  DecodeBuckets(int max_seqs, int max_seq_len);

  bool empty() const { return num_seqs_.empty(); }
  /// All shapes, in order: at most kMaxShapes.
  std::vector<DecodeShape> shapes() const;
  /// The smallest shape that serves a batch; not of an empty object. `kv_len` beyond max_seq_len
  /// counts as that.
  DecodeShape shape_for(int num_seqs, int kv_len) const;

 private:
  std::span<const int> kv_lens(int num_seqs) const;

  std::vector<int> num_seqs_;  ///< ascending
  std::vector<int> kv_lens_;   ///< ascending, the last is max_seq_len
};

}  // namespace quern
