#pragma once

#include <cstdint>

namespace quern {

/// The steps after which the host polls results: S, S + C, S + 2C, … counted from 1; S = 0 means C.
class CheckSchedule {
 public:
  CheckSchedule(int skip_steps, int check_interval)
      : skip_steps_(skip_steps), check_interval_(check_interval) {}

  /// Steps from `steps_done` to the next stop check, at least 1.
  std::int64_t steps_until_check(std::int64_t steps_done) const {
    if (steps_done < skip_steps_) return skip_steps_ - steps_done;
    return check_interval_ - (steps_done - skip_steps_) % check_interval_;
  }

  bool is_check(std::int64_t steps_done) const {
    return steps_done > 0 && steps_done >= skip_steps_ &&
           (steps_done - skip_steps_) % check_interval_ == 0;
  }

 private:
  std::int64_t skip_steps_;
  std::int64_t check_interval_;
};

}  // namespace quern
