#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/attention/attention.h"

namespace quern::kernels {

struct AttentionAppendParams {
  AttentionParams attention;
  int first_seq = 0;  ///< 0, or num_decode_seqs where attention_decode appends for those
  /// Prepares heads as attention_decode does, to the bit.
  bool by_head = false;
  std::uint32_t* counter = nullptr;  ///< reset to zero for the next kernel, unless null
};

/// For each token of the running sequences from first_seq on: appends keys and values to the cache,
/// quantized where it has scales, and writes normed, rotated queries to `queries`. Errors: see
/// launch.h. Cost: reads qkv once and writes as much.
void attention_append(const AttentionAppendParams& params, cudaStream_t stream);

}  // namespace quern::kernels
