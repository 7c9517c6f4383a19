#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace quern::kernels {

struct GatherInputsParams {
  const void* in = nullptr;                   ///< [num_rows, in_features] of 16 bits, dense
  const std::int32_t* permutation = nullptr;  ///< [in_features]
  void* out = nullptr;                        ///< out[row][i] = in[row][permutation[i]]
  std::int64_t num_rows = 0;
  std::int64_t in_features = 0;
  bool use_pdl = false;  ///< see LaunchShape
};

/// Puts the inputs of rows into the order in which a quantized weight has them. Errors: see
/// launch.h.
void gather_inputs(const GatherInputsParams& params, cudaStream_t stream);

}  // namespace quern::kernels
