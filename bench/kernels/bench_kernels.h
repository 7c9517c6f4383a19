#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "quern/dtype.h"

namespace quern::bench {

struct ReadParams {
  const void* data = nullptr;  ///< aligned to 16 bytes
  std::int64_t size_bytes = 0;
  std::uint32_t* sink = nullptr;  ///< a word that is never written, unknown to the compiler
  int num_multiprocessors = 0;
  bool use_pdl = false;  ///< see kernels::LaunchShape
};

/// Reads memory and does nothing else: the read-bandwidth floor of kernels that must read as much.
/// The first loads come before the wait for earlier kernels, as with weights (PDL).
void read_memory(const ReadParams& params, cudaStream_t stream);

struct FillParams {
  DType dtype = DType::float16;
  void* data = nullptr;
  std::int64_t count = 0;
  float scale = 1.0f;
};

/// Uniform random numbers in (-scale, scale). Zeros would draw less power, and so run faster.
void fill_randomly(const FillParams& params, cudaStream_t stream);

}  // namespace quern::bench
