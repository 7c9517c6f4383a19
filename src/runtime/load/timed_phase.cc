#include "runtime/load/timed_phase.h"

#include "base/log.h"

namespace quern {

TimedPhase::~TimedPhase() {
  const std::chrono::duration<double, std::milli> taken = Clock::now() - begin_;
  try {
    log(LogLevel::debug, "{}: {:.1f} ms", name_, taken.count());
  } catch (...) {
    // Failing to log must not fail the load.
  }
}

}  // namespace quern
