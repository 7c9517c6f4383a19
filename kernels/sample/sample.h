#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/sample/sampling_row.h"

namespace quern::kernels {

/// Bins of a digit of the scores, and how many sets of them a row needs.
inline constexpr int kSampleBins = 2048;
inline constexpr int kSampleBinSets = 3;

/// What the blocks of a row tell each other: zero before and after. See common/candidate.cuh for
/// the keys.
struct SampleWords {
  unsigned long long best;   ///< of the processed scores
  unsigned long long drawn;  ///< of the perturbed scores
  std::uint32_t arrivals;
  std::uint32_t unused;
};

/// What the filters of a row need in global memory; not initialised.
struct SampleScratch {
  std::uint64_t* bins = nullptr;  ///< [kSampleBinSets, kSampleBins]
  int* ties = nullptr;            ///< [sample_parts(vocab_size)]
};

/// What a block finds in its part of a row where log-probabilities are asked for.
struct SamplePart {
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
  /// [num_logit_rows, token_bitmask_stride] words of 32 tokens, set bits allowed; null: all are.
  const std::int32_t* token_bitmask = nullptr;
  std::int64_t token_bitmask_stride = 0;

  int ring_capacity = 0;
  int ring_max_seqs = 0;
  const std::int64_t* ring_head = nullptr;
  float* ring_logprobs = nullptr;
  std::int32_t* ring_top_ids = nullptr;
  float* ring_top_logprobs = nullptr;

  SamplePart* parts = nullptr;   ///< [num_logit_rows, sample_parts(vocab_size)]
  SampleScratch scratch;         ///< of the first row; each array goes on with the next row's
  SampleWords* words = nullptr;  ///< [num_logit_rows] zero before and after
  /// A word that is zero before and after; no kernel between two of these uses it.
  std::uint32_t* tickets = nullptr;

  bool use_pdl = false;  ///< see LaunchShape
};

/// Blocks that share a row.
int sample_parts(int vocab_size);
/// How many may: they must fit onto the GPU together.
int max_sample_parts(int num_multiprocessors);

/// graph/op.h's Sample, in one launch. Each block processes a part of a row, which it keeps in
/// shared memory, and finds its largest score and draw; the last block of a row merges them. For
/// top-k, top-p and min-p the row's blocks first find thresholds together: they wait for each other
/// up to three times each. Nothing is sorted. Results do not depend on the order in which blocks
/// and threads run. Ids of the history beyond the vocabulary are ignored. Errors: see launch.h.
void sample(const SampleParams& params, cudaStream_t stream);

}  // namespace quern::kernels
