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
  /// Shared memory of a block, where the device has it: at least kMaxSharedBytes. Beside blocks
  /// with more than this, other kernels' find too little.
  std::size_t most_shared_bytes = 160 * 1024;
};

/// Whether skinny_gemm() is made for this: a 16-bit dtype and rows of 16 bytes.
bool skinny_gemm_supports(DType dtype, std::int64_t in_features);

/// A projection of some rows (it is made for up to 32, and serves more) on tensor cores. Each block
/// has some tiles of eight weight rows, as many at a time as find room, and all rows; chunks of K
/// of both come to shared memory several stages ahead, the weight's before earlier kernels have
/// ended. Warps share the tiles and each chunk's K: see GemmLayout. Pointers are aligned to 16
/// bytes. Rounding: products accumulate in float32, the epilogue is float32. Errors: see launch.h.
/// Cost: reads the weight once for each kMaxSkinnyRows rows, and the rows once a multiprocessor and
/// band.
void skinny_gemm(const SkinnyGemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
