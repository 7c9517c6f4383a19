#pragma once

#include <cstdint>

namespace quern::cuda {

/// Maximum M for which a projection uses skinny_gemm(); beyond it the library is faster.
struct GemmCrossover {
  static constexpr std::int64_t kLargeWeight = std::int64_t{1} << 27;  ///< elements

  std::int64_t rows = 32;
  std::int64_t rows_of_large = 16;  ///< of a weight with more than kLargeWeight elements

  constexpr std::int64_t rows_of(std::int64_t weight_elements) const {
    return weight_elements > kLargeWeight ? rows_of_large : rows;
  }
};

/// For a GPU by its memory bandwidth per multiprocessor and clock. With M = 64 skinny_gemm()
/// consumes 8 to 10 bytes of weights per clock, measured on an H200: well below that it is
/// bandwidth bound at M = 64 as at M = 1. GPUs with more get the crossover measured on an H200.
constexpr GemmCrossover gemm_crossover(double bytes_per_clock) {
  constexpr double kTakenBy64Rows = 6.0;
  const bool is_told = bytes_per_clock > 0.0;  // some virtual GPUs report no clocks
  if (is_told && bytes_per_clock <= kTakenBy64Rows) return {.rows = 64, .rows_of_large = 64};
  return {};
}

/// Memory bandwidth per multiprocessor in bytes per clock, from the reported clocks: 4.9 on an A10,
/// 13 on an A100, 19 on an H200. Errors: device when a CUDA call fails.
double memory_bytes_per_clock(int device_index);

}  // namespace quern::cuda
