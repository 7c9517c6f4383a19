#pragma once

#include <vector>

#include "backend/backend.h"
#include "base/thread_pool.h"

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

/// The best of some passes of reads, by all threads, over memory larger than caches, in GB/s.
double measure_read_gbps(ThreadPool& pool);

/// The best of some products of float32 rows with a weight stored as `dtype`, by all threads,
/// in TFLOP/s.
double measure_product_tflops(DType dtype, ThreadPool& pool);

}  // namespace quern::cpu
