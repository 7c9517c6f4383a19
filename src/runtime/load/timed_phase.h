#pragma once

#include <chrono>
#include <string_view>

namespace quern {

/// Logs its lifetime at debug level.
class TimedPhase {
 public:
  /// `name`: the phase; a literal.
  explicit TimedPhase(std::string_view name) : name_(name) {}
  TimedPhase(const TimedPhase&) = delete;
  TimedPhase& operator=(const TimedPhase&) = delete;
  ~TimedPhase();

 private:
  using Clock = std::chrono::steady_clock;

  std::string_view name_;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace quern
