#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace quern {

/// How many threads of a pool may run loops, judged by its stalls: loops that lasted much longer
/// because another process had the caller's or a worker's processor. A loop on fewer threads is
/// then faster than one that waits for a scheduler's time slice. Two stalls in a short time take a
/// quarter of the threads away (at least one) for a while; then they are tried again, and each
/// trial that stalls at once doubles the time until the next.
class StallLimit {
 public:
  using Clock = std::chrono::steady_clock;

  explicit StallLimit(int num_threads) : num_threads_(num_threads), limit_(num_threads) {}

  int num_threads() const { return limit_; }
  bool is_reduced() const { return limit_ < num_threads_; }

  /// What the caller saw of a loop.
  struct Loop {
    Clock::duration wall{};      ///< from its start to its end
    Clock::duration parked{};    ///< of that, waiting for workers after its own indices
    Clock::duration lost{};      ///< of that, neither parked nor running: 0 where not measured
    std::uint32_t num_served{};  ///< indices that the caller served
  };

  /// Whether a worker or the caller waited for a processor: far longer than an index or a wake-up
  /// takes.
  static bool is_stall(const Loop& loop) {
    if (loop.lost >= kStall) return true;
    return loop.num_served > 0 && loop.parked >= kStall &&
           loop.parked > 4 * (loop.wall - loop.parked) / loop.num_served;
  }

  /// Whether a loop that begins now should measure `lost`, which takes two system calls: where one
  /// has taken long lately.
  bool measures_lost(Clock::time_point now) const { return now < measure_until_; }
  void note_duration(Clock::duration wall, Clock::time_point now) {
    if (wall >= kStall) measure_until_ = now + kWindow;
  }

  /// A loop has stalled and ended at `now`; whether num_threads() changed.
  bool stalled(Clock::time_point now) {
    const bool again = now - last_stall_ < kWindow;
    const bool in_trial = now - trial_start_ < kWindow;
    last_stall_ = now;
    if ((!again && !in_trial) || limit_ == 1) return false;
    hold_ = in_trial ? std::min<Clock::duration>(2 * hold_, kLongestHold) : kFirstHold;
    limit_ -= std::max(1, limit_ / 4);
    trial_at_ = now + hold_;
    return true;
  }

  /// To be called before a loop while is_reduced(); whether num_threads() changed.
  bool try_more(Clock::time_point now) {
    if (!is_reduced() || now < trial_at_) return false;
    limit_ = std::min(num_threads_, limit_ + std::max(1, limit_ / 3));
    trial_start_ = now;
    trial_at_ = now + kWindow;
    return true;
  }

 private:
  static constexpr std::chrono::microseconds kStall{400};
  static constexpr std::chrono::milliseconds kWindow{25};  // some time slices of a scheduler
  static constexpr std::chrono::milliseconds kFirstHold{100};
  static constexpr std::chrono::milliseconds kLongestHold{1600};

  int num_threads_;
  int limit_;
  Clock::duration hold_ = kFirstHold;
  Clock::time_point measure_until_{};
  Clock::time_point last_stall_{};   // long ago
  Clock::time_point trial_start_{};  // of the last rise of limit_
  Clock::time_point trial_at_{};     // of the next
};

}  // namespace quern
