#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/gemm/skinny_gemm.h"
#include "kernels/norm/norm.h"

namespace quern::kernels {

struct DeterministicGemmParams : SkinnyGemmParams {
  /// Of one row, where `in` is null: see deterministic_gemm_fuses_norm().
  NormInput norm;
  float* residual_out = nullptr;  ///< [in_features] of the norm's row, or null
};

/// How a weight's K is summed: warps split every K tile of `k_slices` slices. Chosen by a block's
/// tiles of eight weight rows alone, never by the rows of the batch.
struct KSplit {
  int warps = 0;
  int k_slices = 0;

  bool operator==(const KSplit&) const = default;
};

/// The K split of a block with this many tiles.
KSplit deterministic_k_split(int tiles_of_block);

/// Whether deterministic_gemm() computes the norm of this single row itself: the row fits into
/// shared memory beside the stages. Errors: LaunchError when a CUDA call fails.
bool deterministic_gemm_fuses_norm(const DeterministicGemmParams& params);

/// skinny_gemm() whose order of sums depends on the weight's shape and num_multiprocessors alone: a
/// row's bits are the same with any number of other rows and at any place among them. The same
/// sizes are supported. Blocks have 16, 32 or 64 rows of the batch, as many as there are or as fit.
/// A norm is that of norm() with `deterministic`. Rounding, errors: as skinny_gemm(). Cost: as
/// skinny_gemm(); more than 64 rows read the weight again, mostly from L2.
void deterministic_gemm(const DeterministicGemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
