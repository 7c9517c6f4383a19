#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/gemm/epilogue.h"

namespace quern::kernels {

/// Rows for which skinny_gemm() reads the weight once.
inline constexpr int kMaxSkinnyRows = 64;

struct SkinnyGemmParams {
  DType dtype = DType::float16;  ///< of `in` and `weight`: float16 or bfloat16
  std::int64_t num_rows = 0;
  std::int64_t in_features = 0;
  const void* weight = nullptr;  ///< [weight rows, in_features], dense
  const void* in = nullptr;      ///< [num_rows, in_features], dense
  Epilogue epilogue;
  int num_multiprocessors = 0;
  bool use_pdl = false;  ///< see LaunchShape
  /// Most shared memory of a block, if the device has it; at least kMaxSharedBytes. With more than
  /// this, blocks of other kernels cannot be co-resident.
  std::size_t most_shared_bytes = 160 * 1024;
};

/// Whether skinny_gemm() serves this: a 16-bit dtype, rows that are multiples of 16 bytes.
bool skinny_gemm_supports(DType dtype, std::int64_t in_features);

/// GEMM for small M (made for up to 32 rows, correct for any number) on tensor cores. A block owns
/// tiles of eight weight rows, in one or several passes, and all rows; K tiles of both are copied
/// to shared memory in a multistage pipeline, the weight's before earlier kernels have ended (PDL).
/// Warps split the tiles along N and each K tile along K: see GemmLayout. Pointers are aligned to
/// 16 bytes. Rounding: products accumulate in float32, the epilogue is float32. Errors: see
/// launch.h. Cost: reads the weight once for each kMaxSkinnyRows rows, and the rows once per
/// multiprocessor and pass.
void skinny_gemm(const SkinnyGemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
