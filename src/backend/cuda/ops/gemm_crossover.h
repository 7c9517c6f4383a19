#pragma once

#include <cstdint>

namespace quern::cuda {

/// The most rows with which a projection runs by skinny_gemm(); with more the library is faster.
struct GemmCrossover {
  static constexpr std::int64_t kLargeWeight = std::int64_t{1} << 27;  ///< elements

  std::int64_t rows = 32;
  std::int64_t rows_of_large = 16;  ///< of a weight with more than kLargeWeight elements

  constexpr std::int64_t rows_of(std::int64_t weight_elements) const {
    return weight_elements > kLargeWeight ? rows_of_large : rows;
  }
};

/// For a GPU whose memory brings each multiprocessor so many bytes a clock. With 64 rows
/// skinny_gemm() takes 8 to 10 of weights, measured on an H200: what brings well below that waits
/// for memory with 64 rows as with one. What brings more has the borders measured on an H200.
constexpr GemmCrossover gemm_crossover(double bytes_per_clock) {
  constexpr double kTakenBy64Rows = 6.0;
  const bool is_told = bytes_per_clock > 0.0;  // some virtual GPUs do not tell their clocks
  if (is_told && bytes_per_clock <= kTakenBy64Rows) return {.rows = 64, .rows_of_large = 64};
  return {};
}

/// What memory brings a multiprocessor at most, by the clocks that the device tells: 4.9 on an A10,
/// 13 on an A100, 19 on an H200. Errors: device when CUDA does not answer.
double memory_bytes_per_clock(int device_index);

}  // namespace quern::cuda
