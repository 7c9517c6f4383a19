#pragma once

#include <vector>

namespace quern {

/// Measures device time between marks in stream order.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  /// The first mark. A GPU is held here until the host has had time to launch the work of the next
  /// `num_marks` marks, so that they measure the device's time and not the host's.
  virtual void start(int num_marks) = 0;
  virtual void mark() = 0;
  /// Microseconds from each mark to the next. Waits for the last.
  virtual std::vector<double> take_laps_us() = 0;
};

}  // namespace quern
