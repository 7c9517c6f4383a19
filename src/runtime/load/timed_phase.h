#pragma once

#include <chrono>
#include <string_view>

namespace quern {

/// Logs, at debug, how long it lived.
class TimedPhase {
 public:
  /// `name`: of what is done meanwhile; a literal.
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
