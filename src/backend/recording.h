#pragma once

#include <cstdint>

namespace quern {

/// What one run of a step launches on the device.
struct LaunchCounts {
  std::uint64_t launches = 0;  ///< kernels, the library's included; 0 where nothing is launched
  std::uint64_t dependent_launches = 0;  ///< of them by programmatic dependent launch
  std::uint64_t library_calls = 0;       ///< GEMMs by a library
};

/// Where the decode loop runs.
enum class RecordedLoop {
  host,    ///< replay(n) runs the step n times
  device,  ///< replay(1) runs it until Advance ends the loop; see LoopControl
};

/// A recorded closed step for repeated replay without host work. Neither the backend nor the
/// arguments of Backend::record may be destroyed before it.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Replays it `times` times, asynchronously.
  virtual void replay(int times) = 0;
  /// Per step.
  virtual LaunchCounts counts() const = 0;
};

}  // namespace quern
