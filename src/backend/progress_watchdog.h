#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace quern {

/// Distinguishes a hung device from a slow one by a word that its work advances. Only running time
/// of this process counts: it may have been stopped or suspended between two calls.
class ProgressWatchdog {
 public:
  using Clock = std::chrono::steady_clock;
  /// Maximum time that counts between two calls; callers poll far more often.
  static constexpr std::chrono::milliseconds kMaxGap{100};

  explicit ProgressWatchdog(Clock::duration patience, Clock::time_point now = Clock::now())
      : patience_(patience), last_call_(now) {}

  /// Takes the word's current value; true once it has not changed for `patience`.
  bool expired(std::int64_t progress, Clock::time_point now = Clock::now()) {
    if (progress == progress_) {
      waited_ += std::min<Clock::duration>(now - last_call_, kMaxGap);
    } else {
      progress_ = progress;
      waited_ = {};
    }
    last_call_ = now;
    return waited_ >= patience_;
  }

 private:
  Clock::duration patience_;
  Clock::duration waited_{};
  Clock::time_point last_call_;
  std::int64_t progress_ = 0;
};

}  // namespace quern
