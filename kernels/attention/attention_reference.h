#pragma once

#include <cuda_runtime_api.h>

#include "kernels/attention/attention.h"

namespace quern::kernels {

inline constexpr int kMaxReferenceHeadDim = 512;

/// Reference attention of all sequences, decode and prefill, in any dtype and head size up to
/// kMaxReferenceHeadDim, with float32 FMAs; attention_append runs before it. Finished sequences get
/// zero rows. For tests and small models; not optimized. Errors: see launch.h.
void attention_reference(const AttentionParams& params, cudaStream_t stream);

}  // namespace quern::kernels
