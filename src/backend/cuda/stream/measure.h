#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "backend/backend.h"
#include "backend/cuda/driver/cublaslt.h"
#include "backend/cuda/stream/stream.h"

namespace quern::cuda {

/// Marks by events. The stream outlives it.
std::unique_ptr<Stopwatch> make_stopwatch(const Stream& stream);

/// The best of some passes of reads over `memory`, in GB/s. Errors: device.
double measure_read_gbps(std::span<const std::byte> memory, std::uint32_t* scratch,
                         int num_multiprocessors, const Stream& stream);

/// A square product to measure: its factors, result and the library's workspace, one after the
/// other.
struct MeasuredProduct {
  DType dtype = DType::float32;
  std::int64_t size = 0;  ///< rows and columns of each matrix

  std::size_t matrix_bytes() const {
    return static_cast<std::size_t>(size * size) * dtype_bytes(dtype);
  }
  std::size_t memory_bytes() const { return 3 * matrix_bytes() + CublasLt::kWorkspaceBytes; }
};

/// As large as keeps any GPU busy for long enough, if that many bytes allow it.
MeasuredProduct product_to_measure(DType dtype, std::uint64_t available_bytes);

/// The best of some products by the library, in TFLOP/s. `memory` has memory_bytes() and the
/// factors in it. Errors: device.
double measure_product_tflops(const MeasuredProduct& product, std::span<std::byte> memory,
                              CublasLt& library, const Stream& stream);

}  // namespace quern::cuda
