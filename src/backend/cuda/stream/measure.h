#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "backend/backend.h"
#include "backend/cuda/driver/cublaslt.h"
#include "backend/cuda/stream/stream.h"

namespace quern::cuda {

/// Timestamps by CUDA events. The stream outlives it.
std::unique_ptr<Stopwatch> make_stopwatch(const Stream& stream);

/// Read bandwidth over `memory` in GB/s: the best of a few passes. Errors: device.
double measure_read_gbps(std::span<const std::byte> memory, std::uint32_t* scratch,
                         int num_multiprocessors, const Stream& stream);

/// A square GEMM to measure: its factors, result and the library's workspace, in that order.
struct MeasuredProduct {
  DType dtype = DType::float32;
  std::int64_t size = 0;  ///< rows and columns of each matrix

  std::size_t matrix_bytes() const {
    return static_cast<std::size_t>(size * size) * dtype_bytes(dtype);
  }
  std::size_t memory_bytes() const { return 3 * matrix_bytes() + CublasLt::kWorkspaceBytes; }
};

/// A size that saturates any GPU, or a smaller one for `available_bytes`.
MeasuredProduct product_to_measure(DType dtype, std::uint64_t available_bytes);

/// TFLOP/s of the library's GEMM: the best of a few. `memory` has memory_bytes() and contains the
/// factors. Errors: device.
double measure_product_tflops(const MeasuredProduct& product, std::span<std::byte> memory,
                              CublasLt& library, const Stream& stream);

}  // namespace quern::cuda
