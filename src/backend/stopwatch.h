#pragma once

#include <vector>

namespace quern {

/// Measures device time between marks in stream order.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  /// The first mark. A GPU is held here until the host has had time to launch the work up to
  /// `num_marks` further marks, so that host launch overhead is not measured.
  virtual void start(int num_marks) = 0;
  virtual void mark() = 0;
  /// Microseconds between consecutive marks. Waits for the last.
  virtual std::vector<double> take_laps_us() = 0;
};

}  // namespace quern
