#include "backend/cuda/ops/gemm_crossover.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

namespace quern::cuda {
namespace {

TEST(GemmCrossover, OwnGemmServesMoreRowsWhereMemoryIsSlow) {
  EXPECT_EQ(gemm_crossover(4.9).rows_of(1000), 64) << "A10";
  EXPECT_EQ(gemm_crossover(4.9).rows_of(GemmCrossover::kLargeWeight + 1), 64) << "A10";
  for (const double bytes_per_clock : {13.4, 18.8, 0.0}) {  // A100, H200, not reported
    EXPECT_EQ(gemm_crossover(bytes_per_clock).rows_of(GemmCrossover::kLargeWeight), 32);
    EXPECT_EQ(gemm_crossover(bytes_per_clock).rows_of(GemmCrossover::kLargeWeight + 1), 16);
  }
}

TEST(GemmCrossover, DeviceTellsWhatItsMemoryBrings) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) GTEST_SKIP() << "no GPU";
  const double bytes_per_clock = memory_bytes_per_clock(0);
  EXPECT_GT(bytes_per_clock, 0.5);
  EXPECT_LT(bytes_per_clock, 100.0);
}

}  // namespace
}  // namespace quern::cuda
