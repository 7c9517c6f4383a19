#pragma once

#include <cstdint>

namespace quern {

/// What one run of a step starts on the device.
struct LaunchCounts {
  std::uint64_t launches = 0;  ///< kernels, the library's included; 0 where nothing is launched
  std::uint64_t library_calls = 0;  ///< matrix products by a library
};

/// Who repeats a recorded step.
enum class RecordedLoop {
  host,    ///< replay(n) runs the step n times
  device,  ///< replay(1) runs it until Advance ends the loop; see LoopControl
};

/// A closed step made ready to run again and again without host work. It outlives neither its
/// backend nor what Backend::record was given.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Runs what was recorded `times` times. Does not wait for the device.
  virtual void replay(int times) = 0;
  /// Of one step.
  virtual LaunchCounts counts() const = 0;
};

}  // namespace quern
