#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "quern/engine.h"
#include "runtime/schedule/sequence.h"

namespace quern {

/// How many KV blocks sequences are admitted with, and who gives them back when memory runs out
/// (docs/adr/0018). With KvReservation::full a sequence holds the blocks of its greatest length
/// from admission on. With grow it holds those of the tokens that it has and of one more, and
/// blocks are appended as it decodes; where none is free, the running sequence that comes last is
/// preempted: it waits again, and then computes its tokens once more.
class KvGrowth {
 public:
  KvGrowth(KvReservation reservation, int block_size)
      : grows_(reservation == KvReservation::grow), block_size_(block_size) {}

  /// Whether the sequence's table grows. Not where its keys and values cannot be computed again
  /// from its tokens alone, or belong to several beams: these hold all their blocks.
  bool grows(const Sequence& sequence) const {
    return grows_ && !sequence.beams && sequence.is_recomputable;
  }
  /// Blocks of its greatest length. The last token is never fed back.
  std::int64_t blocks_at_most(const Sequence& sequence) const;
  /// Blocks with which it is admitted.
  std::int64_t blocks_at_admission(const Sequence& sequence) const;
  /// Blocks that stay free at an admission: one for each running sequence that may want one soon,
  /// so that what is admitted does not preempt at once, or is preempted.
  std::int64_t headroom(std::span<const std::unique_ptr<Sequence>> running) const;
  /// For how many decode steps from now the table of a sequence that decodes has room; nothing
  /// where it has room to its end.
  std::optional<std::int64_t> steps_with_room(const Sequence& sequence) const;
  /// Blocks that steps launched so far, and one more, use.
  std::int64_t blocks_in_use(const Sequence& sequence) const;
  /// Blocks of running sequences beyond blocks_in_use(). While a loop runs, one more each is taken
  /// to be in use: the device is some steps further than the host knows.
  std::int64_t blocks_ahead(std::span<const std::unique_ptr<Sequence>> running,
                            bool loop_runs) const;
  /// Who is preempted: of the running sequences that grow, the last one in the order of
  /// goes_before(); null if there is none.
  Sequence* victim(std::span<const std::unique_ptr<Sequence>> running) const;

 private:
  bool may_grow(const Sequence& sequence) const;

  bool grows_;
  int block_size_;
};

}  // namespace quern
