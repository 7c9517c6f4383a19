#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/sampling_row.h"

namespace quern::kernels {

/// Tokens of the vocabulary that one block looks at.
inline constexpr int kSamplePartTokens = 4096;

/// What a block finds in its part of a row; see common/candidate.cuh for the keys.
struct SamplePart {
  std::uint64_t best;                  ///< of the processed scores
  std::uint64_t drawn;                 ///< of the perturbed scores, where nothing is filtered
  double sum;                          ///< Σ exp(logit - largest)
  float largest;                       ///< logit
  std::uint64_t top[kMaxTopLogprobs];  ///< best logits first
};

/// The arrays of a step's batch, sequence state and output ring; see graph/step.h.
struct SampleParams {
  const float* logits = nullptr;  ///< [num_logit_rows, row_stride]
  std::int64_t row_stride = 0;
  int vocab_size = 0;
  int num_logit_rows = 0;
  const std::int32_t* logit_seqs = nullptr;
  const std::int32_t* state_index = nullptr;

  std::int32_t* last_token = nullptr;
  const std::int32_t* finished = nullptr;
  const std::int32_t* generated = nullptr;
  const std::int32_t* prompt_len = nullptr;
  const std::int32_t* history = nullptr;
  std::int64_t history_stride = 0;

  const SamplingRow* sampling = nullptr;

  int ring_capacity = 0;
  int ring_max_seqs = 0;
  const std::int64_t* ring_head = nullptr;
  float* ring_logprobs = nullptr;
  std::int32_t* ring_top_ids = nullptr;
  float* ring_top_logprobs = nullptr;

  SamplePart* parts = nullptr;        ///< [num_logit_rows, sample_parts(vocab_size)]
  float* scores = nullptr;            ///< [num_logit_rows, vocab_size] rows that are processed
  std::uint32_t* counters = nullptr;  ///< [num_logit_rows] zero before and after
};

/// Blocks that share a row.
int sample_parts(int vocab_size);

/// graph/op.h's Sample, in one launch. Each block processes a part of a row and finds its largest
/// score and draw; the last block of a row merges them. Top-k, top-p and min-p cost that block up
/// to three passes over the row each for the threshold, and one for the draw; nothing is sorted.
/// Results do not depend on the order in which blocks and threads run. Ids of the history beyond
/// the vocabulary are ignored. Errors: see launch.h.
void sample(const SampleParams& params, cudaStream_t stream);

}  // namespace quern::kernels
