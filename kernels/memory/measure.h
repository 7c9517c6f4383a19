#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace quern::kernels {

// Measurement kernels; no step uses them.

struct ReadPassParams {
  const void* data = nullptr;    ///< aligned to 16 bytes
  std::int64_t num_words = 0;    ///< of 16 bytes
  std::uint32_t* out = nullptr;  ///< [1] never written in practice; keeps the reads alive
  int num_multiprocessors = 0;
};

/// Reads memory once at full bandwidth. Errors: see launch.h.
void read_pass(const ReadPassParams& params, cudaStream_t stream);

/// Keeps the stream busy for `duration_us`. Errors: see launch.h.
void hold(std::int64_t duration_us, cudaStream_t stream);

}  // namespace quern::kernels
