#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "graph/limits.h"
#include "runtime/schedule/block_manager.h"
#include "runtime/schedule/policy/kv_growth.h"
#include "runtime/schedule/policy/waiting_queue.h"
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

/// Decides what runs. Its policies: WaitingQueue says whose turn it is, KvGrowth how many blocks it
/// is admitted with and who is preempted, step_token_budget() and share_prefill() how the tokens of
/// a step are shared. A waiting sequence is admitted when a state row and these blocks are free.
/// Every step takes one token of each decoding sequence and fills up with prefill chunks.
///
/// The answers of a request share its prompt: all but the first are admitted once that has computed
/// it. A beam search is admitted with a row for each beam.
///
/// A sequence that may use the prefix cache begins with the longest cached prefix of full blocks of
/// its prompt, but always computes the last prompt token, whose logits it needs. One that wants
/// log-probabilities of its prompt computes all of it.
class Scheduler {
 public:
  explicit Scheduler(const Limits& limits, KvReservation reservation = KvReservation::full);

  void add(std::unique_ptr<Sequence> sequence);
  /// Frees the rows and blocks of running sequences to which nothing more will be launched, where
  /// requests wait for them. Later launches may use them, since they run after the steps in flight.
  /// `next_step` is the sampling step that will be launched next.
  void release_exhausted(std::int64_t next_step);
  /// Publishes the sequence's full blocks before the token that was accepted last, unless it is a
  /// beam search. Call it after each accepted token. Blocks of a prompt are published when the step
  /// that writes them is launched.
  void publish(Sequence& sequence);
  /// Forgets all cached prefixes: what the cache holds is not known after a failed step.
  void forget_prefixes() { blocks_.forget_all(); }
  /// Admits waiting sequences into free rows and returns the new ones, whose state the caller must
  /// write. Their tokens begin with sampling step `next_step`.
  std::vector<Sequence*> admit(std::int64_t next_step = 0);
  /// Whether admit() would admit one. While a device loop runs, only those blocks that were given
  /// out for steps ahead count as free that it surely does not use.
  bool can_admit(bool loop_runs = false) const;
  /// Appends blocks so that the step's decode sequences have room for `num_steps` steps. Returns
  /// for how many they have, not beyond num_steps; with 0 nothing may be launched before a sequence
  /// has ended or was preempted. See take_grown().
  int grow(const ScheduledStep& step, int num_steps);
  /// The entries of block tables that grow() has set since the last call: sequence and index.
  std::vector<std::pair<const Sequence*, std::size_t>> take_grown() {
    return std::exchange(grown_, {});
  }
  /// The running sequence that preempt() would take; there must be one.
  Sequence& victim() const;
  /// Takes row and blocks from the victim(), which grows and waits again; see KvGrowth::victim().
  /// All sampled tokens must be read, and a step that contains it must not be launched.
  void preempt();
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
  /// In the order of arrival.
  const std::deque<std::unique_ptr<Sequence>>& waiting() const { return waiting_.sequences(); }
  bool idle() const { return running_.empty() && waiting_.empty(); }
  /// Whether a beam search runs: the host must act between any two steps.
  bool has_beams() const;
  /// Whether prompt tokens of running sequences are still to be launched.
  bool prefilling() const;
  std::size_t num_free_rows() const { return free_rows_.size(); }
  std::uint64_t num_preemptions() const { return num_preemptions_; }
  const BlockManager& blocks() const { return blocks_; }

 private:
  void release(Sequence& sequence);
  /// Publishes the sequence's full blocks among its first `num_written` tokens.
  void publish(Sequence& sequence, std::int64_t num_written);
  /// Computes the hashes of the sequence's first `num_blocks` blocks.
  void hash_blocks(Sequence& sequence, std::int64_t num_blocks) const;
  PrefixBlock prefix_block(const Sequence& sequence, std::size_t index) const;
  /// The published blocks with which a waiting sequence can begin.
  std::vector<std::int32_t> cached_prefix(const Sequence& sequence) const;
  /// A table for the sequence: its cached prefix, then free blocks; sets what follows from it.
  void allocate(Sequence& sequence);
  /// Whether the next one's row and blocks are free, or would be with so many blocks more.
  bool has_room_for_next(std::int64_t num_blocks_more) const;
  /// Takes back the blocks that running sequences were given for steps ahead.
  void trim();

  Limits limits_;
  BlockManager blocks_;
  PrefixHasher hasher_;
  std::vector<int> free_rows_;
  KvGrowth growth_;
  WaitingQueue waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;  ///< in admission order
  std::vector<std::pair<const Sequence*, std::size_t>> grown_;
  std::uint64_t num_preemptions_ = 0;
};

}  // namespace quern
