#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "graph/limits.h"
#include "runtime/schedule/block_manager.h"
#include "runtime/schedule/prefix_hash.h"
#include "runtime/schedule/sequence.h"

namespace quern {

/// What a step computes of a sequence: prompt tokens [begin, begin + q_len), or one decode token.
struct ScheduledRun {
  Sequence* sequence = nullptr;
  int begin = 0;
  int q_len = 0;
  bool decode = false;
  bool samples = false;  ///< the step yields a token for it
  int beam = 0;          ///< each beam of a beam search decodes in a run of its own
};

/// One step's work, decode sequences first.
struct ScheduledStep {
  std::vector<ScheduledRun> runs;
  int num_decode = 0;
  int num_prefill_tokens = 0;
  bool samples() const;
};

/// First come, first served. A waiting request is admitted when a state row and the blocks of its
/// greatest length are free (docs/adr/0002), so a running one never waits for memory. Every step
/// takes one token of each decoding sequence and fills up with prefill chunks; see
/// Limits::max_mixed_tokens.
///
/// The answers of a request share its prompt: all but the first are admitted once that has computed
/// it. A beam search is admitted with a row for each beam.
///
/// A sequence that may use the prefix cache begins with the longest cached prefix of full blocks of
/// its prompt, but always computes the last prompt token, whose logits it needs.
class Scheduler {
 public:
  explicit Scheduler(const Limits& limits);

  void add(std::unique_ptr<Sequence> sequence);
  /// Frees the rows and blocks of running sequences to which nothing more will be launched, where
  /// requests wait for them. Later launches may use them, since they run after the steps in flight.
  /// `next_step` is the sampling step that will be launched next.
  void release_exhausted(std::int64_t next_step);
  /// Publishes the sequence's full blocks whose content is known to be written and finite: those
  /// before the token that was accepted last. Call it after each accepted token, and after the
  /// first step of a beam search.
  void publish(Sequence& sequence);
  /// Forgets all cached prefixes: what the cache holds is not known after a failed step.
  void forget_prefixes() { blocks_.forget_all(); }
  /// Admits waiting sequences into free rows and returns the new ones, whose state the caller must
  /// write. Their tokens begin with sampling step `next_step`.
  std::vector<Sequence*> admit(std::int64_t next_step = 0);
  /// Whether admit() would admit one.
  bool can_admit() const;
  /// Builds the next step; empty when all running sequences are exhausted or none runs.
  ScheduledStep schedule() const;
  /// Records that the step was launched `times` times in a row (more than once only for pure
  /// decode).
  void launched(const ScheduledStep& step, int times);
  /// Removes finished sequences and returns them; frees their rows and blocks. Blocks of those that
  /// ended with an error leave the prefix cache.
  std::vector<std::unique_ptr<Sequence>> take_finished();
  /// Removes a request, waiting or running; unknown ones are ignored. No step that contains it may
  /// be in flight.
  void remove(RequestId id);
  /// Removes all requests.
  void clear();

  const std::vector<std::unique_ptr<Sequence>>& running() const { return running_; }
  const std::deque<std::unique_ptr<Sequence>>& waiting() const { return waiting_; }
  bool idle() const { return running_.empty() && waiting_.empty(); }
  /// Whether a beam search runs: the host must act between any two steps.
  bool has_beams() const;
  /// Whether prompt tokens of running sequences are still to be launched.
  bool prefilling() const;
  std::size_t num_free_rows() const { return free_rows_.size(); }
  std::int64_t blocks_needed(const Sequence& sequence) const;
  const BlockManager& blocks() const { return blocks_; }

 private:
  void release(Sequence& sequence);
  /// Computes the hashes of the sequence's first `num_blocks` blocks.
  void hash_blocks(Sequence& sequence, std::int64_t num_blocks) const;
  PrefixBlock prefix_block(const Sequence& sequence, std::size_t index) const;
  /// The published blocks with which a waiting sequence can begin.
  std::vector<std::int32_t> cached_prefix(const Sequence& sequence) const;
  /// A table for the sequence: its cached prefix, then free blocks; sets what follows from it.
  void allocate(Sequence& sequence);
  /// The most tokens of a step with so many decoding sequences.
  int step_tokens(int num_decode) const;

  Limits limits_;
  BlockManager blocks_;
  PrefixHasher hasher_;
  std::vector<int> free_rows_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;  ///< in admission order
};

}  // namespace quern
