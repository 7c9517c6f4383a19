#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "quern/dtype.h"

namespace quern::kernels {

/// An embedding's rows, dense, as float32, float16 or bfloat16.
struct EmbeddingTable {
  const void* rows = nullptr;  ///< [num_rows, hidden_size]; null: none
  std::int64_t num_rows = 0;
  DType dtype = DType::float32;
};

/// The arrays of a step's batch and state; see graph/step.h.
struct EmbedParams {
  EmbeddingTable tokens;
  EmbeddingTable positions;
  int hidden_size = 0;
  float* out = nullptr;  ///< [num_tokens, hidden_size]

  int num_tokens = 0;
  int num_seqs = 0;
  int num_decode_seqs = 0;
  const std::int32_t* state_index = nullptr;
  const std::int32_t* token_ids = nullptr;
  const std::int32_t* token_positions = nullptr;
  const std::int32_t* cu_seqlens_q = nullptr;
  const std::int32_t* state_last_token = nullptr;
  const std::int32_t* state_position = nullptr;

  bool use_pdl = false;  ///< see LaunchShape
};

/// graph/op.h's Embed. One block per token. An id or position outside its table makes the row NaN:
/// a caller's bug that must not stay hidden. Errors: see launch.h.
void embed(const EmbedParams& params, cudaStream_t stream);

}  // namespace quern::kernels
