#pragma once

#include <vector>

#include "backend/backend.h"

namespace quern::cpu {

/// Marks by the clock, since calls return when their work is done.
class ClockStopwatch final : public Stopwatch {
 public:
  void start(int num_marks) override;
  void mark() override;
  std::vector<double> take_laps_us() override;

 private:
  std::vector<double> marks_us_;
};

/// The best of some passes of reads, by that many threads, over memory larger than caches, in GB/s.
double measure_read_gbps(int threads);

/// The best of some products of float32 rows with a weight stored as `dtype`, by that many threads,
/// in TFLOP/s.
double measure_product_tflops(DType dtype, int threads);

}  // namespace quern::cpu
