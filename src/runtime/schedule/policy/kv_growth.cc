#include "runtime/schedule/policy/kv_growth.h"

#include <algorithm>

#include "base/memory/shape.h"
#include "runtime/schedule/policy/waiting_queue.h"

namespace quern {

std::int64_t KvGrowth::blocks_at_most(const Sequence& sequence) const {
  if (sequence.beams) {
    return BeamTables::blocks_needed(sequence.prompt_len(), sequence.max_tokens,
                                     sequence.num_rows(), block_size_);
  }
  return ceil_div(sequence.prompt_len() + sequence.max_tokens - 1, block_size_);
}

std::int64_t KvGrowth::blocks_at_admission(const Sequence& sequence) const {
  const std::int64_t most = blocks_at_most(sequence);
  if (!grows(sequence)) return most;
  return std::min<std::int64_t>(most, ceil_div(sequence.prefill_len() + 1, block_size_));
}

bool KvGrowth::may_grow(const Sequence& sequence) const {
  return grows(sequence) && sequence.holds_row() && !sequence.output.finished() &&
         std::ssize(sequence.blocks) < blocks_at_most(sequence);
}

std::int64_t KvGrowth::headroom(std::span<const std::unique_ptr<Sequence>> running) const {
  if (!grows_) return 0;
  return std::ranges::count_if(running, [&](const auto& sequence) { return may_grow(*sequence); });
}

std::optional<std::int64_t> KvGrowth::steps_with_room(const Sequence& sequence) const {
  if (!may_grow(sequence)) return std::nullopt;
  const std::int64_t slots = std::ssize(sequence.blocks) * block_size_;
  return slots - (sequence.prompt_len() + sequence.launched) + 1;
}

std::int64_t KvGrowth::blocks_in_use(const Sequence& sequence) const {
  return ceil_div(sequence.prompt_len() + sequence.launched, block_size_);
}

std::int64_t KvGrowth::blocks_ahead(std::span<const std::unique_ptr<Sequence>> running,
                                    bool loop_runs) const {
  if (!grows_) return 0;
  std::int64_t ahead = 0;
  for (const auto& sequence : running) {
    if (!grows(*sequence) || !sequence->holds_row() || !sequence->decoding()) continue;
    const std::int64_t used = blocks_in_use(*sequence) + (loop_runs ? 1 : 0);
    ahead += std::max<std::int64_t>(std::ssize(sequence->blocks) - used, 0);
  }
  return ahead;
}

Sequence* KvGrowth::victim(std::span<const std::unique_ptr<Sequence>> running) const {
  Sequence* last = nullptr;
  for (const auto& sequence : running) {
    if (!grows(*sequence) || !sequence->holds_row() || sequence->output.finished()) continue;
    if (last == nullptr || goes_before(*last, *sequence)) last = sequence.get();
  }
  return last;
}

}  // namespace quern
