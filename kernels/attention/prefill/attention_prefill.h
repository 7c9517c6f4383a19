#pragma once

#include <cuda_runtime_api.h>

#include "kernels/attention/attention.h"

namespace quern::kernels {

/// Whether attention_prefill supports these parameters.
bool attention_prefill_supports(DType dtype, int head_dim);

/// Attention of the prefill sequences, whose queries, keys and values attention_append has written.
/// Tiles of 64 or 128 rows (a row is a query head of a token) on tensor cores. Finished sequences
/// get zero rows. Errors: see launch.h. Source: Flash Attention 2 (Dao 2023).
void attention_prefill(const AttentionParams& params, cudaStream_t stream);

}  // namespace quern::kernels
