#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/sample/sampling_row.h"

namespace quern::kernels {

/// Histogram bins per digit of the scores, and bin sets per row.
inline constexpr int kSampleBins = 2048;
inline constexpr int kSampleBinSets = 3;
/// Sums that a row's blocks add up at a time, and sets of them.
inline constexpr int kSampleSums = 3;
inline constexpr int kSampleSumSets = 2;

/// Consecutive tokens whose largest score top-k looks at first.
inline constexpr int kSampleGroupTokens = 32;

/// Words shared by the blocks of a row: zero before and after. Keys: see sample/candidate.cuh.
struct SampleWords {
  unsigned long long best;   ///< of the processed scores
  unsigned long long drawn;  ///< of the perturbed scores
  std::uint32_t arrivals;
  std::uint32_t unused;
};

/// Scratch of a row's filters in global memory; not initialized.
struct SampleScratch {
  std::uint64_t* bins = nullptr;  ///< [kSampleBinSets, kSampleBins]
  int* ties = nullptr;            ///< [sample_slices(vocab_size)]
  double* sums = nullptr;         ///< [kSampleSumSets, kSampleSums, sample_slices(vocab_size)]
  /// [sample_slices(vocab_size)] bits of surprise of what each slice has drawn
  double* surprises = nullptr;
  float* group_maxima = nullptr;  ///< [sample_groups(vocab_size)]
};

/// A slice's log-probability summary, where log-probabilities are asked for.
struct SampleSlice {
  double sum;                          ///< Σ exp(logit - largest)
  float largest;                       ///< the largest logit
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
  float* mirostat_mu = nullptr;
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

  SampleSlice* slices = nullptr;  ///< [num_logit_rows, sample_slices(vocab_size)]
  SampleScratch scratch;          ///< of the first row; each array continues with the next row's
  SampleWords* words = nullptr;   ///< [num_logit_rows] zero before and after
  /// A word that is zero before and after; no kernel between two of these uses it.
  std::uint32_t* tickets = nullptr;

  bool use_pdl = false;  ///< see LaunchShape
};

/// Vocabulary slices (blocks) per row.
int sample_slices(int vocab_size);
/// Groups of tokens per row, in whole slices.
int sample_groups(int vocab_size);
/// Maximum number of slices: they must be co-resident.
int max_sample_slices(int num_multiprocessors);

/// graph/op.h's Sample, in one launch. Each block keeps a vocabulary slice in shared memory and
/// finds its largest score and draw; the last block of a row merges them. With top-k up to 64 that
/// one filters and draws, from the groups of tokens whose largest score is among the k largest. For
/// larger k, top-p or min-p alone and the other filters the row's blocks find thresholds together,
/// with up to four grid barriers each; nothing is sorted. Results do not depend on the order in
/// which blocks and threads run. History ids beyond the vocabulary are ignored. Errors: see
/// launch.h.
void sample(const SampleParams& params, cudaStream_t stream);

}  // namespace quern::kernels
