#pragma once

namespace quern {

/// Of the errors of many elements.
struct ErrorStatistics {
  double max = 0.0;
  double mean = 0.0;
  double median = 0.0;
};

}  // namespace quern
