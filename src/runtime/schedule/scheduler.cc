#include "runtime/schedule/scheduler.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "quern/sampling.h"
#include "runtime/schedule/policy/prefill_budget.h"

namespace quern {

bool ScheduledStep::samples() const {
  return std::any_of(runs.begin(), runs.end(), [](const ScheduledRun& run) { return run.samples; });
}

Scheduler::Scheduler(const Limits& limits, KvReservation reservation)
    : limits_(limits),
      blocks_(limits.num_blocks),
      hasher_(PrefixHasher::Key{random_seed(), random_seed()}),
      growth_(reservation, limits.block_size) {
  for (int row = limits.max_seqs - 1; row >= 0; --row) free_rows_.push_back(row);
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  if (sequence->prefix && !sequence->num_prompt_logprobs) {
    // Not the last token: it is computed in any case.
    const std::int64_t reusable =
        std::min<std::int64_t>(sequence->prefill_len() - 1, sequence->prefix->max_tokens);
    hash_blocks(*sequence, reusable / limits_.block_size);
  }
  waiting_.add(std::move(sequence));
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
    const std::int64_t needed = growth_.blocks_at_admission(sequence);
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
  if (sequence.num_preemptions == 0) sequence.output.set_cached_prompt_tokens(sequence.prefilled);
}

void Scheduler::publish(Sequence& sequence) {
  // The last token is not fed back yet, or its step is not known to have succeeded.
  if (!sequence.beams) publish(sequence, std::ssize(sequence.token_ids) - 1);
}

void Scheduler::publish(Sequence& sequence, std::int64_t num_written) {
  if (!sequence.prefix || sequence.blocks.empty()) return;
  const std::int64_t written = std::min(num_written, sequence.prefix->max_tokens);
  const std::int64_t num_full = written / limits_.block_size;
  if (sequence.num_published >= num_full) return;
  hash_blocks(sequence, num_full);
  for (; sequence.num_published < num_full; ++sequence.num_published) {
    const auto index = static_cast<std::size_t>(sequence.num_published);
    blocks_.publish(sequence.blocks[index], prefix_block(sequence, index));
  }
}

bool Scheduler::can_admit(bool loop_runs) const {
  if (waiting_.empty()) return false;
  return has_room_for_next(0) || has_room_for_next(growth_.blocks_ahead(running_, loop_runs));
}

bool Scheduler::has_room_for_next(std::int64_t num_blocks_more) const {
  const Sequence& next = *waiting_.next();
  if (std::ssize(free_rows_) < next.num_rows()) return false;
  if (next.group && next.index > 0 && !next.group->prompt_ready) return false;
  const std::int64_t missing = growth_.blocks_at_admission(next) + growth_.headroom(running_) -
                               blocks_.num_free() - num_blocks_more;
  if (missing <= 0) return true;
  // Blocks that running sequences hold cost nothing more; cached ones count as free already.
  const std::vector<std::int32_t> prefix = cached_prefix(next);
  const auto is_held = [&](std::int32_t block) { return blocks_.ref_count(block) > 0; };
  return std::ranges::count_if(prefix, is_held) >= missing;
}

void Scheduler::release_exhausted(std::int64_t next_step) {
  for (const auto& sequence : running_) {
    if (!sequence->decoding() || !sequence->exhausted() || !sequence->holds_row()) continue;
    if (sequence->beams) continue;
    if (waiting_.empty() || can_admit()) return;
    release(*sequence);
    sequence->end_step = next_step;
  }
}

std::vector<Sequence*> Scheduler::admit(std::int64_t next_step) {
  std::vector<Sequence*> admitted;
  while (can_admit()) {
    if (!has_room_for_next(0)) trim();
    // First what may run out of memory: a running sequence has a row and blocks.
    Sequence& sequence = *waiting_.next();
    running_.reserve(running_.size() + 1);
    admitted.push_back(&sequence);
    allocate(sequence);
    sequence.state_row = free_rows_.back();
    for (int beam = 0; beam < sequence.num_rows(); ++beam) {
      if (sequence.beams) sequence.beams->rows.push_back(free_rows_.back());
      free_rows_.pop_back();
    }
    sequence.first_step = next_step;
    running_.push_back(waiting_.pop());
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

int Scheduler::grow(const ScheduledStep& step, int num_steps) {
  // In rounds of a block each, so that what is free is shared evenly.
  for (int reached = 0; reached < num_steps;) {
    const int target = reached == 0 ? 1 : std::min(num_steps, reached + limits_.block_size);
    for (const ScheduledRun& run : step.runs) {
      if (!run.decode) continue;
      Sequence& sequence = *run.sequence;
      while (growth_.steps_with_room(sequence).value_or(target) < target) {
        if (!blocks_.append(sequence.blocks)) return reached;
        grown_.emplace_back(&sequence, sequence.blocks.size() - 1);
      }
    }
    reached = target;
  }
  return num_steps;
}

void Scheduler::trim() {
  for (const auto& sequence : running_) {
    if (!growth_.grows(*sequence) || !sequence->holds_row() || !sequence->decoding()) continue;
    const auto used = static_cast<std::size_t>(growth_.blocks_in_use(*sequence));
    if (sequence->blocks.size() <= used) continue;
    blocks_.release(std::span(sequence->blocks).subspan(used));
    sequence->blocks.resize(used);
  }
}

Sequence& Scheduler::victim() const {
  Sequence* victim = growth_.victim(running_);
  QUERN_CHECK(victim != nullptr && victim->launched == victim->num_generated(),
              "no sequence can be preempted");
  return *victim;
}

void Scheduler::preempt() {
  const auto place = std::ranges::find(running_, &victim(), &std::unique_ptr<Sequence>::get);
  release(**place);
  std::unique_ptr<Sequence> sequence = std::move(*place);
  running_.erase(place);
  sequence->preempt();
  ++num_preemptions_;
  add(std::move(sequence));
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
  std::vector<Sequence*> prompts;
  std::vector<int> remaining;
  for (const auto& sequence : running_) {
    if (sequence->decoding() || sequence->output.finished()) continue;
    prompts.push_back(sequence.get());
    remaining.push_back(sequence->prefill_len() - sequence->prefilled);
  }
  if (prompts.empty()) return step;
  const int budget = step_token_budget(limits_, step.num_decode, static_cast<int>(prompts.size()));
  const std::vector<int> shares = share_prefill(remaining, budget - step.num_decode);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    if (shares[i] == 0) continue;
    const int begin = prompts[i]->prefilled;
    step.runs.push_back({prompts[i], begin, shares[i], false, shares[i] == remaining[i]});
    step.num_prefill_tokens += shares[i];
  }
  return step;
}

void Scheduler::launched(const ScheduledStep& step, int times) {
  QUERN_CHECK(times == 1 || step.num_prefill_tokens == 0);
  for (const ScheduledRun& run : step.runs) {
    if (!run.decode) {
      run.sequence->prefilled += run.q_len;
      // Later steps read after this one has written; if it fails, all prefixes are forgotten.
      publish(*run.sequence, run.sequence->prefilled);
    }
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
  auto waiting =
      waiting_.take_if([](const Sequence& sequence) { return sequence.output.finished(); });
  std::move(waiting.begin(), waiting.end(), std::back_inserter(finished));
  return finished;
}

void Scheduler::remove(RequestId id) {
  const auto is_it = [id](const auto& sequence) { return sequence->id == id; };
  waiting_.take_if([id](const Sequence& sequence) { return sequence.id == id; });
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
