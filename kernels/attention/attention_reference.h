#pragma once

#include <cuda_runtime_api.h>

#include "kernels/attention/attention.h"

namespace quern::kernels {

inline constexpr int kMaxReferenceHeadDim = 512;

/// Attention of all sequences, decode ones too, in any dtype and head size up to
/// kMaxReferenceHeadDim, by float32 products; attention_append has made ready everything. Finished
/// sequences get zero rows. For comparison and small models: it is not made to be fast. Errors: see
/// launch.h.
void attention_reference(const AttentionParams& params, cudaStream_t stream);

}  // namespace quern::kernels
