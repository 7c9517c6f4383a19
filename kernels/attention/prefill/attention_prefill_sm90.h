#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/attention/attention.h"

namespace quern::kernels {

struct AttentionPrefillSm90Params {
  AttentionParams attention;
  int max_kv_len = 0;           ///< approximate kv_len of the longest sequence: decides the order
  int num_multiprocessors = 0;  ///< decides the grid
  std::uint32_t* next_item = nullptr;  ///< zero at launch: attention_append resets it
};

/// Whether this build has the sm_90a code of attention_prefill_sm90 and the current device runs it.
/// Errors: LaunchError when a CUDA call fails.
bool has_attention_prefill_sm90();

/// Whether attention_prefill_sm90 supports these parameters, on a device that has it: heads of 64
/// or 128, 16-bit dtypes, no softcap, no scales, and blocks of 8, 16, 32, 64 or a multiple of 128
/// slots.
bool attention_prefill_sm90_supports(const AttentionParams& params);

/// attention_prefill for sm_90, warp-specialized: consumer warpgroups multiply with wgmma, a
/// producer warp loads keys and values with TMA. Persistent blocks take work items of 128 rows
/// under one kv head from a counter, the longest first. Errors: see launch.h. Source: Flash
/// Attention 3 (Shah et al. 2024).
void attention_prefill_sm90(const AttentionPrefillSm90Params& params, cudaStream_t stream);

}  // namespace quern::kernels
