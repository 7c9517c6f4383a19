#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/attention/attention.h"

namespace quern::kernels {

struct AttentionPrefillSm90Params {
  AttentionParams attention;
  int max_kv_len = 0;                  ///< of the longest sequence, about: decides the order
  int num_multiprocessors = 0;         ///< decides the grid
  std::uint32_t* next_item = nullptr;  ///< zero before: attention_append sees to it
};

/// Whether this build has the sm_90a code of attention_prefill_sm90 and the calling thread's device
/// runs it. Errors: LaunchError when CUDA does not answer.
bool has_attention_prefill_sm90();

/// Whether attention_prefill_sm90 is made for this, where the device has it: heads of 64 or 128,
/// 16 bits, no softcap, and blocks of 8, 16, 32, 64 or a multiple of 128 slots.
bool attention_prefill_sm90_supports(const AttentionParams& params);

/// attention_prefill for sm_90: products of whole warpgroups (wgmma) on keys and values that a
/// producer warp brings by bulk tensor copies. Persistent blocks take items of 128 rows under one
/// kv head, the longest first. Errors: see launch.h. Source: Flash Attention 3 (Shah et al. 2024).
void attention_prefill_sm90(const AttentionPrefillSm90Params& params, cudaStream_t stream);

}  // namespace quern::kernels
