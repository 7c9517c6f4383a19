#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "quern/dtype.h"

namespace quern::kernels {

/// See weights/random.h's RandomRun.
struct RandomFillParams {
  void* weight = nullptr;
  DType dtype = DType::float32;  ///< float32, float16 or bfloat16
  std::uint64_t key = 0;
  std::int64_t first = 0;
  std::int64_t source = 0;
  std::int64_t stride = 1;
  std::int64_t count = 0;
  float offset = 0.0f;
  float scale = 1.0f;
  int bits = 8;
};

/// Fills a weight's elements with the numbers that weights/random.h's fill_random() makes, bit for
/// bit. Errors: see launch.h; DispatchError.
void random_fill(const RandomFillParams& params, cudaStream_t stream);

}  // namespace quern::kernels
