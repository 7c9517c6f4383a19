#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/epilogue.h"

namespace quern::kernels {

/// Rows that stream_gemm() is made for, at most.
inline constexpr int kMaxStreamRows = 16;

struct StreamGemmParams {
  DType dtype = DType::float16;  ///< of `in` and `weight`: T, float16 or bfloat16
  int num_rows = 0;
  std::int64_t in_features = 0;
  const void* weight = nullptr;  ///< [weight rows, in_features] T, dense
  const void* in = nullptr;      ///< [num_rows, in_features] T, dense
  Epilogue epilogue;
  int num_multiprocessors = 0;
  bool overlaps = false;  ///< see LaunchShape
};

/// Whether stream_gemm() is made for this: 16-bit rows of whole 16 bytes.
bool stream_gemm_supports(DType dtype, std::int64_t num_rows, std::int64_t in_features);

/// Linear for up to kMaxStreamRows rows on tensor cores. Each block has some tiles of eight weight
/// rows, which it reads once; its warps share K, each with its next slabs always under way, the
/// first before earlier kernels have ended. They read their part of the rows from L2 as it is
/// needed, and add up at the end. Pointers are aligned to 16 bytes. Rounding: see graph/op.h;
/// products accumulate in float32. Errors: see launch.h. Cost: reads the weight once, and the rows
/// once a multiprocessor and band of tiles.
void stream_gemm(const StreamGemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
