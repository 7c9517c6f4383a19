#include "runtime/run/step_arrays.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

/// Stands in for an Arena to count the bytes of a layout.
class ByteCounter {
 public:
  template <typename T>
  std::span<T> take_array(std::size_t count) {
    bytes_ = align_up(bytes_, Arena::kAlignment) + count * sizeof(T);
    return {};
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

std::size_t batch_ints(const Limits& limits) {
  const auto seqs = static_cast<std::size_t>(limits.max_seqs);
  const auto logit_rows = static_cast<std::size_t>(limits.max_logit_rows);
  const auto tokens = static_cast<std::size_t>(limits.max_tokens_per_step);
  return 3 * seqs + 1 + 2 * logit_rows + 2 * tokens;
}

template <typename Taker, typename T>
void take(Taker& taker, T*& array, std::size_t count) {
  array = taker.template take_array<T>(count).data();
}

}  // namespace

template <typename Taker>
void StepArrays::lay_out(Taker& taker, const Limits& limits, int ring_capacity) {
  const auto rows = static_cast<std::size_t>(limits.num_state_rows());
  const auto take = [&](auto*& array, std::size_t count) { quern::take(taker, array, count); };
  for (auto* array : {&state_.last_token, &state_.position, &state_.kv_len, &state_.finished,
                      &state_.generated, &state_.max_tokens, &state_.prompt_len}) {
    take(*array, rows);
  }
  take(state_.rope_alpha, rows);
  take(state_.mirostat_mu, rows);
  take(state_.history, rows * static_cast<std::size_t>(limits.max_seq_len + 1));
  take(state_.num_finished, 1);
  state_.history_stride = limits.max_seq_len + 1;

  take(sampling_, rows);
  take(block_table_, rows * static_cast<std::size_t>(limits.max_blocks_per_seq()));

  take(ring_.head, 1);
  ring_.capacity = ring_capacity;
  ring_.max_seqs = limits.max_seqs;
  take(loop_, 1);

  take(batch_, batch_ints(limits));
}

template <typename Taker>
void StepArrays::lay_out_shared(Taker& taker, const Limits& limits, int ring_capacity) {
  const auto cells =
      static_cast<std::size_t>(limits.max_seqs) * static_cast<std::size_t>(ring_capacity);
  take(taker, ring_.published, 1);
  take(taker, ring_.tokens, cells);
  take(taker, ring_.logprobs, cells);
  take(taker, ring_.top_ids, cells * kMaxTopLogprobs);
  take(taker, ring_.top_logprobs, cells * kMaxTopLogprobs);
}

std::size_t StepArrays::bytes(const Limits& limits, int ring_capacity) {
  StepArrays arrays;
  ByteCounter counter;
  arrays.lay_out(counter, limits, ring_capacity);
  return counter.bytes();
}

std::size_t StepArrays::shared_bytes(const Limits& limits, int ring_capacity) {
  StepArrays arrays;
  ByteCounter counter;
  arrays.lay_out_shared(counter, limits, ring_capacity);
  return counter.bytes();
}

StepArrays::StepArrays(Backend& backend, const Limits& limits, int ring_capacity)
    : backend_(&backend),
      limits_(limits),
      arena_("step inputs", backend.allocate(bytes(limits, ring_capacity), "step inputs")),
      shared_arena_("output ring",
                    backend.allocate_shared(shared_bytes(limits, ring_capacity), "output ring")),
      staging_(batch_ints(limits)) {
  lay_out(arena_, limits, ring_capacity);
  lay_out_shared(shared_arena_, limits, ring_capacity);
  std::int32_t* next = staging_.data();
  const auto take = [&](std::int32_t*& array, int count) {
    array = next;
    next += count;
  };
  take(host_.state_index, limits.max_seqs);
  take(host_.cu_seqlens_q, limits.max_seqs + 1);
  take(host_.kv_lens, limits.max_seqs);
  take(host_.logit_rows, limits.max_logit_rows);
  take(host_.logit_seqs, limits.max_logit_rows);
  take(host_.token_ids, limits.max_tokens_per_step);
  take(host_.positions, limits.max_tokens_per_step);

  // Token 0 at position 0, which every model has; zeros stand for a running sequence.
  write(state_.finished + limits.padding_row(), static_cast<std::int32_t>(SequenceStatus::stop));
  write(state_.rope_alpha + limits.padding_row(), 1.0f);
}

template <typename T>
void StepArrays::write(T* device, const T& value) {
  backend_->copy_in(device, &value, sizeof(T));
}

void StepArrays::write_sequence(const Sequence& sequence, float rope_alpha) {
  for (int beam = 0; beam < sequence.num_rows(); ++beam) {
    write_row(sequence, sequence.row(beam), rope_alpha);
  }
  if (sequence.beams) {
    write_table(sequence.state_row, sequence.beams->tables->table(0));
  } else {
    write_table(sequence.state_row, sequence.blocks);
  }
}

void StepArrays::write_beam(const Sequence& sequence, int beam, std::int32_t token_id, int kv_len) {
  const int row = sequence.row(beam);
  const BeamRun& beams = *sequence.beams;
  write(state_.last_token + row, token_id);
  if (!beams.forked) {
    write(state_.position + row, kv_len);
    write(state_.kv_len + row, kv_len);
    write(state_.generated + row, kv_len - sequence.prompt_len() + 1);
  }
  if (beams.tables->changed(beam)) write_table(row, beams.tables->table(beam));
}

void StepArrays::write_row(const Sequence& sequence, int row, float rope_alpha) {
  for (auto* array : {state_.last_token, state_.position, state_.kv_len}) write(array + row, 0);
  write(state_.generated + row, sequence.num_generated());
  write(state_.finished + row, static_cast<std::int32_t>(SequenceStatus::running));
  write(state_.max_tokens + row, sequence.max_tokens);
  write(state_.prompt_len + row, sequence.prompt_len());
  write(state_.rope_alpha + row, rope_alpha);
  write(state_.mirostat_mu + row, sequence.mirostat_mu);
  write(sampling_ + row, sequence.sampling);
  backend_->copy_in(state_.history + row * state_.history_stride, sequence.token_ids.data(),
                    sequence.token_ids.size() * sizeof(std::int32_t));
}

void StepArrays::write_table(int row, std::span<const std::int32_t> blocks) {
  QUERN_CHECK(std::ssize(blocks) <= limits_.max_blocks_per_seq());
  backend_->copy_in(block_table_row(row), blocks.data(), blocks.size_bytes());
}

void StepArrays::read_mirostat(Sequence& sequence) const {
  if (sequence.sampling.mirostat_tau == 0.0f) return;
  backend_->copy_out(&sequence.mirostat_mu, state_.mirostat_mu + sequence.state_row,
                     sizeof(sequence.mirostat_mu));
}

void StepArrays::write_block(const Sequence& sequence, std::size_t index) {
  QUERN_CHECK(std::cmp_less(index, limits_.max_blocks_per_seq()));
  write(block_table_row(sequence.state_row) + index, sequence.blocks.at(index));
}

std::int32_t* StepArrays::block_table_row(int state_row) const {
  return block_table_ + std::int64_t{state_row} * limits_.max_blocks_per_seq();
}

void StepArrays::write_loop(const LoopControl& control) { write(loop_, control); }

void StepArrays::add_run(const ScheduledRun& run, BatchView& batch) {
  const int seq = batch.num_seqs++;
  const int kv_len =
      run.decode ? run.sequence->prompt_len() + run.sequence->launched : run.begin + run.q_len;
  host_.state_index[seq] = run.sequence->row(run.beam);
  host_.kv_lens[seq] = kv_len;
  if (!run.decode) {
    const auto begin = run.sequence->token_ids.begin() + run.begin;
    std::copy(begin, begin + run.q_len, host_.token_ids + batch.num_tokens);
    std::iota(host_.positions + batch.num_tokens, host_.positions + batch.num_tokens + run.q_len,
              run.begin);
  }
  batch.num_tokens += run.q_len;
  host_.cu_seqlens_q[seq + 1] = batch.num_tokens;
  if (run.samples) {
    host_.logit_rows[batch.num_logit_rows] = batch.num_tokens - 1;
    host_.logit_seqs[batch.num_logit_rows++] = seq;
  }
  batch.num_decode_seqs += run.decode ? 1 : 0;
  batch.max_q_len = std::max(batch.max_q_len, run.q_len);
  batch.max_kv_len = std::max(batch.max_kv_len, kv_len);
  batch.total_kv_len += kv_len;
}

void StepArrays::add_padding(BatchView& batch) {
  const int seq = batch.num_seqs++;
  host_.state_index[seq] = limits_.padding_row();
  host_.kv_lens[seq] = 1;
  host_.logit_rows[batch.num_logit_rows] = batch.num_tokens++;
  host_.logit_seqs[batch.num_logit_rows++] = seq;
  host_.cu_seqlens_q[seq + 1] = batch.num_tokens;
  ++batch.num_decode_seqs;
}

void StepArrays::point_to_arrays(BatchView& batch) const {
  const auto on_device = [&](const std::int32_t* host) {
    return batch_ + (host - staging_.data());
  };
  batch.state_index = on_device(host_.state_index);
  batch.token_ids = on_device(host_.token_ids);
  batch.positions = on_device(host_.positions);
  batch.cu_seqlens_q = on_device(host_.cu_seqlens_q);
  batch.kv_lens = on_device(host_.kv_lens);
  batch.logit_rows = on_device(host_.logit_rows);
  batch.logit_seqs = on_device(host_.logit_seqs);
}

BatchView StepArrays::upload(BatchView batch) {
  const auto used = host_.positions + batch.num_tokens - staging_.data();
  backend_->copy_in(batch_, staging_.data(), static_cast<std::size_t>(used) * sizeof(std::int32_t));
  point_to_arrays(batch);
  return batch;
}

BatchView StepArrays::write_batch(const ScheduledStep& step, int padded_num_seqs) {
  BatchView batch;
  host_.cu_seqlens_q[0] = 0;
  for (const ScheduledRun& run : step.runs) add_run(run, batch);
  if (batch.num_seqs < padded_num_seqs) {
    QUERN_CHECK(batch.num_decode_seqs == batch.num_seqs && padded_num_seqs <= limits_.max_seqs,
                "{} of {} sequences decode, padded to {} of {}", batch.num_decode_seqs,
                batch.num_seqs, padded_num_seqs, limits_.max_seqs);
    while (batch.num_seqs < padded_num_seqs) add_padding(batch);
  }
  return upload(batch);
}

BatchView StepArrays::decode_batch(int num_seqs, int max_kv_len) const {
  BatchView batch;
  batch.num_tokens = num_seqs;
  batch.num_seqs = num_seqs;
  batch.num_decode_seqs = num_seqs;
  batch.num_logit_rows = num_seqs;
  batch.max_q_len = 1;
  batch.max_kv_len = max_kv_len;
  batch.total_kv_len = std::int64_t{num_seqs} * max_kv_len;
  point_to_arrays(batch);
  return batch;
}

void StepArrays::write_logit_rows(BatchView& batch, int first_row, int count) {
  QUERN_CHECK(count <= limits_.max_logit_rows && first_row + count <= batch.num_tokens);
  batch.num_logit_rows = count;
  std::vector<std::int32_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), first_row);
  upload_logit_rows(rows);
}

void StepArrays::restore_logit_rows(const BatchView& batch) {
  upload_logit_rows({host_.logit_rows, static_cast<std::size_t>(batch.num_logit_rows)});
}

void StepArrays::upload_logit_rows(std::span<const std::int32_t> rows) {
  backend_->copy_in(batch_ + (host_.logit_rows - staging_.data()), rows.data(), rows.size_bytes());
}

}  // namespace quern
