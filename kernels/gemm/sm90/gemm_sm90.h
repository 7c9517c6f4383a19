#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/gemm/epilogue.h"

namespace quern::kernels {

/// Tile and cluster shape of gemm_sm90(): output tiles of 128 rows (M) by `width` weight rows (N).
/// pair or splits is 1.
struct GemmSm90Layout {
  int width = 256;  ///< 128, 192 or 256
  int pair = 1;     ///< 2: a cluster of two blocks, adjacent along M, multicasts the weights
  int splits = 1;   ///< split-K: the blocks of a cluster, 2 or 3, that share one tile
};

struct GemmSm90Params {
  DType dtype = DType::float16;  ///< of `in`, `weight` and `out`: float16 or bfloat16
  std::int64_t num_rows = 0;
  std::int64_t in_features = 0;
  const void* weight = nullptr;  ///< [weight rows, in_features], dense
  const void* in = nullptr;      ///< [num_rows, in_features], dense
  Epilogue epilogue;
  int num_multiprocessors = 0;
  bool use_pdl = false;                                 ///< see LaunchShape
  std::optional<GemmSm90Layout> layout = std::nullopt;  ///< for tests; else the launcher chooses
};

/// The compiled layouts.
std::span<const GemmSm90Layout> gemm_sm90_layouts();

/// Whether this build has the sm_90a code of gemm_sm90() and the current device runs it.
/// Errors: LaunchError when a CUDA call fails.
bool has_gemm_sm90();

/// Whether gemm_sm90() supports these parameters, on a device that has it: 16-bit dtypes, rows of
/// multiples of 16 bytes, no activation with erf.
bool gemm_sm90_supports(const GemmSm90Params& params);

/// GEMM with a fused epilogue for large M on sm_90, persistent and warp-specialized: a producer
/// warp loads tiles with TMA, two consumer warpgroups multiply with wgmma, 64 rows each. Pointers
/// are aligned to 16 bytes. Rounding: products accumulate in float32, in an order that the layout
/// decides; the epilogue is float32 (exponentials and quotients to about 2e-6), `out` is rounded
/// once. Errors: see launch.h.
void gemm_sm90(const GemmSm90Params& params, cudaStream_t stream);

}  // namespace quern::kernels
