#pragma once

#include <chrono>

#include "quern/engine.h"

namespace quern {

/// Maintains an engine's Timing.
class StepClock {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static Time now() { return std::chrono::steady_clock::now(); }
  static double ms_since(Time begin) {
    return std::chrono::duration<double, std::milli>(now() - begin).count();
  }

  /// A request arrived at an idle engine: time to first token is measured from here.
  void started() {
    begin_ = now();
    waiting_for_first_ = true;
  }
  void first_token() {
    if (!waiting_for_first_) return;
    waiting_for_first_ = false;
    timing.time_to_first_token_ms = ms_since(begin_);
  }
  /// Adds the time from `begin` to now as prefill or decode; a mixed step counts as prefill.
  void add_step(Time begin, bool prefill) {
    last_step_end_ = now();
    const double ms = std::chrono::duration<double, std::milli>(last_step_end_ - begin).count();
    timing.total_ms += ms;
    (prefill ? prefill_ms_ : decode_ms_) += ms;
  }
  Time last_step_end() const { return last_step_end_; }
  Timing snapshot() const {
    Timing result = timing;
    const auto rate = [](std::uint64_t tokens, double ms) {
      return ms > 0 ? static_cast<double>(tokens) * 1e3 / ms : 0.0;
    };
    result.prefill_tokens_per_s = rate(timing.prefill_tokens, prefill_ms_);
    result.decode_tokens_per_s = rate(timing.decode_tokens, decode_ms_);
    return result;
  }

  Timing timing;  ///< counters updated by the engine

 private:
  Time begin_ = now();
  Time last_step_end_ = begin_;
  bool waiting_for_first_ = false;
  double prefill_ms_ = 0;
  double decode_ms_ = 0;
};

}  // namespace quern
