#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "base/memory/arena.h"
#include "graph/limits.h"
#include "graph/step.h"
#include "runtime/schedule/scheduler.h"

namespace quern {

/// The step-input arena: the device arrays behind BatchView, SequenceState, SamplingRow, OutputRing
/// and the block table, and the host's access to them.
class StepArrays {
 public:
  /// Bytes of the device arrays.
  static std::size_t bytes(const Limits& limits, int ring_capacity);
  /// Bytes of the arrays that the host reads while the device writes them.
  static std::size_t shared_bytes(const Limits& limits, int ring_capacity);
  StepArrays(Backend& backend, const Limits& limits, int ring_capacity);

  /// Writes the state row of a newly admitted sequence, or the rows of its beams.
  void write_sequence(const Sequence& sequence, float rope_alpha);
  /// Has a beam go on with `token_id` at position `kv_len`, in place of what its row sampled. The
  /// row's own step has advanced it there, except before the beams fork.
  void write_beam(const Sequence& sequence, int beam, std::int32_t token_id, int kv_len);
  /// Reads back what Sample keeps of a running sequence: Sequence::mirostat_mu. Waits for the steps
  /// launched so far.
  void read_mirostat(Sequence& sequence) const;
  /// Writes one entry of a running sequence's block table after a block was added or replaced;
  /// steps launched afterwards see it.
  void write_block(const Sequence& sequence, std::size_t index);
  /// Uploads the step's batch arrays and returns the view of them. Pure decode is padded to
  /// `padded_num_seqs`, at most max_seqs; see BatchView.
  BatchView write_batch(const ScheduledStep& step, int padded_num_seqs = 0);
  /// The view of a decode batch of `num_seqs` sequences, whatever the arrays hold.
  BatchView decode_batch(int num_seqs, int max_kv_len) const;
  /// Points an existing batch's logit rows at token rows [first_row, first_row + count).
  void write_logit_rows(BatchView& batch, int first_row, int count);
  /// Undoes that: points the batch that was written last at its own logit rows.
  void restore_logit_rows(const BatchView& batch);
  void write_loop(const LoopControl& control);

  const SequenceState& state() const { return state_; }
  const SamplingRow* sampling() const { return sampling_; }
  const OutputRing& ring() const { return ring_; }
  LoopControl* loop() const { return loop_; }
  const std::int32_t* block_table() const { return block_table_; }

 private:
  struct BatchArrays {
    std::int32_t *state_index, *cu_seqlens_q, *kv_lens, *logit_rows, *logit_seqs, *token_ids,
        *positions;
  };
  /// Lays out every array with `taker`: an Arena, or one that only counts bytes.
  template <typename Taker>
  void lay_out(Taker& taker, const Limits& limits, int ring_capacity);
  template <typename Taker>
  void lay_out_shared(Taker& taker, const Limits& limits, int ring_capacity);
  template <typename T>
  void write(T* device, const T& value);
  void write_row(const Sequence& sequence, int row, float rope_alpha);
  void write_table(int row, std::span<const std::int32_t> blocks);
  void add_run(const ScheduledRun& run, BatchView& batch);
  void add_padding(BatchView& batch);
  void point_to_arrays(BatchView& batch) const;
  BatchView upload(BatchView batch);
  void upload_logit_rows(std::span<const std::int32_t> rows);
  std::int32_t* block_table_row(int state_row) const;

  StepArrays() = default;

  Backend* backend_ = nullptr;
  Limits limits_;
  Arena arena_, shared_arena_;
  SequenceState state_;
  SamplingRow* sampling_ = nullptr;
  OutputRing ring_;
  LoopControl* loop_ = nullptr;
  std::int32_t* block_table_ = nullptr;
  std::int32_t* batch_ = nullptr;  ///< all batch arrays in one block, uploaded by one copy
  std::vector<std::int32_t> staging_;
  BatchArrays host_ = {};
};

}  // namespace quern
