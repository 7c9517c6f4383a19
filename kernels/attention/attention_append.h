#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/attention/attention.h"

namespace quern::kernels {

struct AttentionAppendParams {
  AttentionParams attention;
  int first_seq = 0;  ///< 0, or num_decode_seqs where another kernel appends for those
  std::uint32_t* counter = nullptr;  ///< set to zero for the kernel that follows, unless null
};

/// For each token of the running sequences from first_seq on: keys and values into the cache, and
/// queries into `queries`. Errors: see launch.h. Cost: reads qkv once and writes as much.
void attention_append(const AttentionAppendParams& params, cudaStream_t stream);

}  // namespace quern::kernels
