#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace quern {

/// Tells a device that hangs from one that is slow, by a word that its work moves on. Only time in
/// which this process ran counts: between two calls it may have been stopped or suspended.
class ProgressWatchdog {
 public:
  using Clock = std::chrono::steady_clock;
  /// What the time between two calls counts at most; callers call far more often.
  static constexpr std::chrono::milliseconds kMaxGap{100};

  explicit ProgressWatchdog(Clock::duration patience, Clock::time_point now = Clock::now())
      : patience_(patience), last_call_(now) {}

  /// Takes the word as just read; true once it has stayed the same for `patience`.
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
