#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/gemm/epilogue.h"

namespace quern::kernels {

/// How gemm_sm90() cuts a product: tiles of 128 rows by `width` weight rows, and what the blocks of
/// a cluster share. One of these is 1.
struct GemmSm90Layout {
  int width = 256;  ///< 128, 192 or 256
  int pair = 1;     ///< 2: two blocks with tiles under each other load each weight once
  int splits = 1;   ///< 2 or 3: so many blocks share one tile, along in_features
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

/// The layouts that there are kernels for.
std::span<const GemmSm90Layout> gemm_sm90_layouts();

/// Whether this build has the sm_90a code of gemm_sm90() and the calling thread's device runs it.
/// Errors: LaunchError when CUDA does not answer.
bool has_gemm_sm90();

/// Whether gemm_sm90() is made for this, where the device has it: 16 bits throughout, rows of
/// multiples of 16 bytes, no activation by erf.
bool gemm_sm90_supports(const GemmSm90Params& params);

/// GEMM with its epilogue for many rows on sm_90: persistent blocks of a producer warp, which
/// brings tiles by bulk tensor copies, and two warpgroups that multiply them (wgmma), 64 rows each.
/// Pointers are aligned to 16 bytes. Rounding: products accumulate in float32, in an order that the
/// layout decides; the epilogue is float32 (exponentials and quotients to about 2e-6), `out` is
/// rounded once. Errors: see launch.h.
void gemm_sm90(const GemmSm90Params& params, cudaStream_t stream);

}  // namespace quern::kernels
