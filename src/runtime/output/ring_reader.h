#pragma once

#include <cstdint>

#include "graph/step.h"
#include "quern/request.h"

namespace quern {

/// Reads the output ring: what the host does when it looks. The device may go on writing rows that
/// it has not yet published.
class RingReader {
 public:
  explicit RingReader(const OutputRing& ring);

  /// The published sampling steps that have not been consumed. Errors: internal when some of them
  /// have been overwritten.
  int num_unread() const;
  /// How far the ring's `published` must come for `count` unread steps.
  std::int64_t position_of(int count) const { return read_ + count; }
  const std::int64_t* published() const { return ring_.published; }

  /// The token that unread step `index` (0 … num_unread() - 1) gave to a state row; id -1 when it
  /// gave none, a SampleError's when it could not. Log-probabilities only with a token and where
  /// num_top_logprobs is 0 or more.
  TokenLogprobs token(int index, int state_row, int num_top_logprobs) const;
  void consume(int count) { read_ += count; }
  /// Forgets what has not been read, after a step that failed.
  void skip_unread();

 private:
  OutputRing ring_;
  std::int64_t read_ = 0;  ///< sampling steps consumed so far
};

}  // namespace quern
