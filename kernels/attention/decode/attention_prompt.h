#pragma once

#include <cuda_runtime_api.h>

#include "kernels/attention/attention.h"

namespace quern::kernels {

struct AttentionPromptParams {
  AttentionParams attention;
  int max_kv_len = 0;  ///< of the longest prefill sequence, or more: decides the grid
};

/// Whether attention_prompt supports these parameters: heads and dtypes of attention_decode,
/// without scales.
bool attention_prompt_supports(const AttentionParams& params);

/// Tokens of a sequence that share a block of attention_prompt.
int prompt_tokens_of_block(const AttentionPromptParams& params);

/// Attention of the prefill sequences with the arithmetic of a deterministic attention_decode: each
/// token's row has the same bits as if the token were decoded, whatever the chunk. attention_append
/// has written queries, keys and values, by head. Eight rows (a row is a query head of a token)
/// under one kv head share a block, which takes one KV split after the other. Finished sequences
/// get zero rows. Errors: see launch.h. Cost: reads keys and values once for eight rows.
void attention_prompt(const AttentionPromptParams& params, cudaStream_t stream);

}  // namespace quern::kernels
