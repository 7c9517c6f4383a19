#include "runtime/schedule/scheduler.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/memory/shape.h"

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

Scheduler::Scheduler(const Limits& limits) : limits_(limits), blocks_(limits.num_blocks) {
  for (int row = limits.max_seqs - 1; row >= 0; --row) free_rows_.push_back(row);
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }

std::int64_t Scheduler::blocks_needed(const Sequence& sequence) const {
  // The last token is never fed back.
  return ceil_div(sequence.prompt_len() + sequence.max_tokens - 1, limits_.block_size);
}

bool Scheduler::can_admit() const {
  return !waiting_.empty() && !free_rows_.empty() &&
         blocks_needed(*waiting_.front()) <= blocks_.num_free();
}

void Scheduler::release_exhausted(std::int64_t next_step) {
  for (const auto& sequence : running_) {
    if (waiting_.empty() || can_admit()) return;
    if (!sequence->decoding() || !sequence->exhausted() || !sequence->holds_row()) continue;
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
    sequence.blocks = blocks_.reserve(blocks_needed(sequence)).value();
    sequence.state_row = free_rows_.back();
    free_rows_.pop_back();
    sequence.first_step = next_step;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return admitted;
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
    step.runs.push_back({sequence.get(), 0, 1, true, true});
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
    if (run.samples) run.sequence->launched += times;
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
  const auto running = std::find_if(running_.begin(), running_.end(), is_it);
  if (running == running_.end()) return;
  release(**running);
  running_.erase(running);
}

void Scheduler::clear() {
  for (const auto& sequence : running_) release(*sequence);
  running_.clear();
  waiting_.clear();
}

void Scheduler::release(Sequence& sequence) {
  if (!sequence.holds_row()) return;
  blocks_.release(sequence.blocks);
  sequence.blocks.clear();
  free_rows_.push_back(sequence.state_row);
}

}  // namespace quern
