#pragma once

#include <vector>

#include "backend/backend.h"
#include "base/threads/thread_pool.h"

namespace quern::cpu {

/// Timestamps of the host's clock: the backend is synchronous.
class ClockStopwatch final : public Stopwatch {
 public:
  void start(int num_marks) override;
  void mark() override;
  std::vector<double> take_laps_us() override;

 private:
  std::vector<double> marks_us_;
};

/// Read bandwidth of all threads over memory larger than the caches, in GB/s: the best of a few
/// passes.
double measure_read_gbps(ThreadPool& pool);

/// TFLOP/s of a GEMM of float32 activations with a weight stored as `dtype`, on all threads: the
/// best of a few runs.
double measure_product_tflops(DType dtype, ThreadPool& pool);

}  // namespace quern::cpu
