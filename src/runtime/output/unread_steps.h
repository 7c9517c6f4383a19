#pragma once

#include <cstdint>
#include <deque>

#include "base/check.h"

namespace quern {

/// The sampling steps that were launched and whose tokens the host has not read, in the units in
/// which they were launched.
class UnreadSteps {
 public:
  /// The unit's prompt tokens include those of steps before it that sampled nothing.
  void add(int num_steps, bool decodes_only) {
    QUERN_CHECK(num_steps > 0);
    units_.push_back({num_steps, decodes_only, pending_prompt_tokens_});
    pending_prompt_tokens_ = 0;
    num_steps_ += num_steps;
  }
  void add_prompt_tokens(int count) {
    pending_prompt_tokens_ += count;
    num_prompt_tokens_ += count;
  }

  int num_steps() const { return num_steps_; }
  bool empty() const { return num_steps_ == 0; }
  int num_units() const { return static_cast<int>(units_.size()); }
  int steps_of_oldest() const { return units_.front().num_steps; }
  /// Launched and not known to be done.
  std::int64_t num_prompt_tokens() const { return num_prompt_tokens_; }

  /// Takes out the oldest step; true when it only decoded.
  bool read_one() {
    Unit& unit = units_.front();
    const bool decodes_only = unit.decodes_only;
    num_prompt_tokens_ -= unit.prompt_tokens;
    unit.prompt_tokens = 0;
    --num_steps_;
    if (--unit.num_steps == 0) units_.pop_front();
    return decodes_only;
  }
  void clear() { *this = {}; }

 private:
  struct Unit {
    int num_steps = 0;
    bool decodes_only = false;
    std::int64_t prompt_tokens = 0;
  };

  std::deque<Unit> units_;
  int num_steps_ = 0;
  std::int64_t pending_prompt_tokens_ = 0;  ///< of steps after the last unit
  std::int64_t num_prompt_tokens_ = 0;
};

}  // namespace quern
