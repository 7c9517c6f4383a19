#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/sample/sampling_row.h"

namespace quern::kernels {

/// The arrays of a step's batch, sequence state and output ring; see graph/step.h.
struct AdvanceParams {
  int num_seqs = 0;
  int num_decode_seqs = 0;
  int num_logit_rows = 0;
  const std::int32_t* state_index = nullptr;
  const std::int32_t* positions = nullptr;
  const std::int32_t* cu_seqlens_q = nullptr;
  const std::int32_t* kv_lens = nullptr;
  const std::int32_t* logit_seqs = nullptr;

  std::int32_t* last_token = nullptr;
  std::int32_t* position = nullptr;
  std::int32_t* kv_len = nullptr;
  std::int32_t* finished = nullptr;
  std::int32_t* generated = nullptr;
  const std::int32_t* max_tokens = nullptr;
  const std::int32_t* prompt_len = nullptr;
  std::int32_t* history = nullptr;
  std::int64_t history_stride = 0;
  std::int32_t* num_finished = nullptr;

  const SamplingRow* sampling = nullptr;

  int ring_capacity = 0;
  int ring_max_seqs = 0;
  std::int64_t* ring_head = nullptr;
  /// This and ring_tokens: read by the host concurrently.
  std::int64_t* ring_published = nullptr;
  std::int32_t* ring_tokens = nullptr;

  /// For a step that is the body of a graph's WHILE node: its condition handle and loop state.
  bool loops = false;
  cudaGraphConditionalHandle loop_condition = 0;
  std::int32_t* loop_steps_left = nullptr;
  const std::int32_t* loop_stop_at_running = nullptr;
  const std::int32_t* loop_stop_requested = nullptr;

  bool use_pdl = false;  ///< see LaunchShape
};

/// graph/op.h's Advance. A sequence has at most one logit row. One block. Errors: see launch.h.
void advance(const AdvanceParams& params, cudaStream_t stream);

}  // namespace quern::kernels
