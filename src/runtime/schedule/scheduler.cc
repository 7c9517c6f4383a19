#include "runtime/schedule/scheduler.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/memory/shape.h"
#include "quern/sampling.h"

namespace quern {
namespace {

/// Steps are limited to max_mixed_tokens while at least this many sequences decode per prompt in
/// prefill; with more prompts the decode batch would stay small for long. From a cost model of a
/// step; values from 2 to 8 hardly differ.
constexpr int kDecodingPerPrompt = 4;

}  // namespace

bool ScheduledStep::samples() const {
  return std::any_of(runs.begin(), runs.end(), [](const ScheduledRun& run) { return run.samples; });
}

Scheduler::Scheduler(const Limits& limits)
    : limits_(limits),
      blocks_(limits.num_blocks),
      hasher_(PrefixHasher::Key{random_seed(), random_seed()}) {
  for (int row = limits.max_seqs - 1; row >= 0; --row) free_rows_.push_back(row);
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  if (sequence->prefix && !sequence->num_prompt_logprobs) {
    // Not the last prompt token: it is computed in any case.
    const std::int64_t reusable =
        std::min<std::int64_t>(sequence->prompt_len() - 1, sequence->prefix->max_tokens);
    hash_blocks(*sequence, reusable / limits_.block_size);
  }
  waiting_.push_back(std::move(sequence));
}

void Scheduler::hash_blocks(Sequence& sequence, std::int64_t num_blocks) const {
  const auto size = static_cast<std::size_t>(limits_.block_size);
  while (std::ssize(sequence.block_hashes) < num_blocks) {
    const std::size_t index = sequence.block_hashes.size();
    const PrefixHash parent =
        index == 0 ? hasher_.root(sequence.prefix->identity) : sequence.block_hashes.back();
    sequence.block_hashes.push_back(
        hasher_.block(parent, std::span(sequence.token_ids).subspan(index * size, size)));
  }
}

PrefixBlock Scheduler::prefix_block(const Sequence& sequence, std::size_t index) const {
  const auto size = static_cast<std::size_t>(limits_.block_size);
  const PrefixHash parent =
      index == 0 ? hasher_.root(sequence.prefix->identity) : sequence.block_hashes[index - 1];
  return {parent, sequence.block_hashes[index],
          std::span(sequence.token_ids).subspan(index * size, size)};
}

std::vector<std::int32_t> Scheduler::cached_prefix(const Sequence& sequence) const {
  std::vector<std::int32_t> blocks;
  for (std::size_t i = 0; i < sequence.block_hashes.size(); ++i) {
    const auto block = blocks_.find(prefix_block(sequence, i));
    if (!block) break;
    blocks.push_back(*block);
  }
  return blocks;
}

void Scheduler::allocate(Sequence& sequence) {
  // Shared first: free blocks may be taken from the cache.
  std::vector<std::int32_t> table = blocks_.share(cached_prefix(sequence));
  const auto num_cached = static_cast<std::int64_t>(table.size());
  try {
    const std::int64_t needed = blocks_needed(sequence);
    table.reserve(static_cast<std::size_t>(needed));
    const auto own = blocks_.reserve(needed - num_cached).value();
    table.insert(table.end(), own.begin(), own.end());
  } catch (...) {
    blocks_.release(table);
    throw;
  }
  sequence.blocks = std::move(table);
  if (sequence.beams) {
    sequence.beams->tables.emplace(sequence.blocks, sequence.prompt_len(), limits_.block_size);
  }
  sequence.num_published = static_cast<int>(num_cached);
  sequence.prefilled = static_cast<int>(num_cached) * limits_.block_size;
  sequence.output.set_cached_prompt_tokens(sequence.prefilled);
}

void Scheduler::publish(Sequence& sequence) {
  // The last token is not fed back yet, or its step is not known to have succeeded. Of beams only
  // the prompt is published.
  const std::int64_t known =
      sequence.beams ? sequence.prompt_len() : std::ssize(sequence.token_ids) - 1;
  if (!sequence.prefix || sequence.blocks.empty() || known < sequence.prompt_len()) return;
  const std::int64_t written = std::min(known, sequence.prefix->max_tokens);
  const std::int64_t num_full = written / limits_.block_size;
  if (sequence.num_published >= num_full) return;
  hash_blocks(sequence, num_full);
  for (; sequence.num_published < num_full; ++sequence.num_published) {
    const auto index = static_cast<std::size_t>(sequence.num_published);
    blocks_.publish(sequence.blocks[index], prefix_block(sequence, index));
  }
}

std::int64_t Scheduler::blocks_needed(const Sequence& sequence) const {
  if (sequence.beams) {
    return BeamTables::blocks_needed(sequence.prompt_len(), sequence.max_tokens,
                                     sequence.num_rows(), limits_.block_size);
  }
  // The last token is never fed back.
  return ceil_div(sequence.prompt_len() + sequence.max_tokens - 1, limits_.block_size);
}

bool Scheduler::can_admit() const {
  if (waiting_.empty()) return false;
  const Sequence& next = *waiting_.front();
  if (std::ssize(free_rows_) < next.num_rows()) return false;
  if (next.group && next.index > 0 && !next.group->prompt_ready) return false;
  const std::int64_t missing = blocks_needed(next) - blocks_.num_free();
  if (missing <= 0) return true;
  // Blocks that running sequences hold cost nothing more; cached ones count as free already.
  const std::vector<std::int32_t> prefix = cached_prefix(next);
  const auto is_held = [&](std::int32_t block) { return blocks_.ref_count(block) > 0; };
  return std::ranges::count_if(prefix, is_held) >= missing;
}

void Scheduler::release_exhausted(std::int64_t next_step) {
  for (const auto& sequence : running_) {
    if (waiting_.empty() || can_admit()) return;
    if (!sequence->decoding() || !sequence->exhausted() || !sequence->holds_row()) continue;
    if (sequence->beams) continue;
    release(*sequence);
    sequence->end_step = next_step;
  }
}

std::vector<Sequence*> Scheduler::admit(std::int64_t next_step) {
  std::vector<Sequence*> admitted;
  while (can_admit()) {
    // First what may run out of memory: a running sequence has a row and blocks.
    Sequence& sequence = *waiting_.front();
    running_.reserve(running_.size() + 1);
    admitted.push_back(&sequence);
    allocate(sequence);
    sequence.state_row = free_rows_.back();
    for (int beam = 0; beam < sequence.num_rows(); ++beam) {
      if (sequence.beams) sequence.beams->rows.push_back(free_rows_.back());
      free_rows_.pop_back();
    }
    sequence.first_step = next_step;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return admitted;
}

bool Scheduler::has_beams() const {
  return std::ranges::any_of(running_, [](const auto& sequence) { return !!sequence->beams; });
}

bool Scheduler::prefilling() const {
  return std::any_of(running_.begin(), running_.end(), [](const auto& sequence) {
    return !sequence->decoding() && !sequence->output.finished();
  });
}

int Scheduler::step_tokens(int num_decode) const {
  const auto prefills = [](const auto& sequence) { return !sequence->decoding(); };
  const auto num_prefill = std::count_if(running_.begin(), running_.end(), prefills);
  const bool mixes_few =
      num_prefill * kDecodingPerPrompt <= num_decode && num_decode < limits_.max_mixed_tokens / 2;
  return mixes_few ? std::min(limits_.max_mixed_tokens, limits_.max_tokens_per_step)
                   : limits_.max_tokens_per_step;
}

ScheduledStep Scheduler::schedule() const {
  ScheduledStep step;
  for (const auto& sequence : running_) {
    if (!sequence->decoding() || sequence->exhausted() || sequence->output.finished()) continue;
    for (int beam = 0; beam < sequence->num_rows(); ++beam) {
      step.runs.push_back({sequence.get(), 0, 1, true, true, beam});
    }
  }
  step.num_decode = static_cast<int>(step.runs.size());
  int room = step_tokens(step.num_decode) - step.num_decode;
  for (const auto& sequence : running_) {
    if (sequence->decoding() || sequence->output.finished()) continue;
    const int q_len = std::min(room, sequence->prompt_len() - sequence->prefilled);
    if (q_len == 0) break;
    const bool whole = sequence->prefilled + q_len == sequence->prompt_len();
    step.runs.push_back({sequence.get(), sequence->prefilled, q_len, false, whole});
    step.num_prefill_tokens += q_len;
    room -= q_len;
  }
  return step;
}

void Scheduler::launched(const ScheduledStep& step, int times) {
  QUERN_CHECK(times == 1 || step.num_prefill_tokens == 0);
  for (const ScheduledRun& run : step.runs) {
    if (!run.decode) run.sequence->prefilled += run.q_len;
    if (run.samples && run.beam == 0) run.sequence->launched += times;
  }
}

std::vector<std::unique_ptr<Sequence>> Scheduler::take_finished() {
  std::vector<std::unique_ptr<Sequence>> finished;
  const auto end =
      std::stable_partition(running_.begin(), running_.end(),
                            [](const auto& sequence) { return !sequence->output.finished(); });
  std::move(end, running_.end(), std::back_inserter(finished));
  running_.erase(end, running_.end());
  for (const auto& sequence : finished) release(*sequence);
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if ((*it)->output.finished()) {
      finished.push_back(std::move(*it));
      it = waiting_.erase(it);
    } else {
      ++it;
    }
  }
  return finished;
}

void Scheduler::remove(RequestId id) {
  const auto is_it = [id](const auto& sequence) { return sequence->id == id; };
  std::erase_if(waiting_, is_it);
  for (const auto& sequence : running_) {
    if (is_it(sequence)) release(*sequence);
  }
  std::erase_if(running_, is_it);
}

void Scheduler::clear() {
  for (const auto& sequence : running_) release(*sequence);
  running_.clear();
  waiting_.clear();
}

void Scheduler::release(Sequence& sequence) {
  if (!sequence.holds_row()) return;
  if (sequence.output.finish_reason() == FinishReason::error) blocks_.forget(sequence.blocks);
  blocks_.release(sequence.blocks);
  sequence.blocks.clear();
  for (int beam = 0; beam < sequence.num_rows(); ++beam) free_rows_.push_back(sequence.row(beam));
}

}  // namespace quern
