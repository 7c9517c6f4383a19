#pragma once

#include <cstdint>

#include "graph/step.h"
#include "quern/request.h"

namespace quern {

/// Reads the output ring at stop checks. The device may meanwhile write rows that it has not yet
/// published.
class RingReader {
 public:
  explicit RingReader(const OutputRing& ring);

  /// The number of published sampling steps that are not consumed yet. Errors: internal when some
  /// of them have been overwritten.
  int num_unread() const;
  /// The value of the ring's `published` at which `count` steps are unread.
  std::int64_t position_of(int count) const { return read_ + count; }
  const std::int64_t* published() const { return ring_.published; }

  /// The token of unread step `index` (0 … num_unread() - 1) for a state row; id -1 when it has
  /// none, a SampleError's when sampling failed. Log-probabilities only with a token and where
  /// num_top_logprobs is 0 or more.
  TokenLogprobs token(int index, int state_row, int num_top_logprobs) const;
  void consume(int count) { read_ += count; }
  /// Skips what has not been read, after a step that failed.
  void skip_unread();

 private:
  OutputRing ring_;
  std::int64_t read_ = 0;  ///< sampling steps consumed so far
};

}  // namespace quern
