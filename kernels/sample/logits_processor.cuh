#pragma once

#include <cstdint>

#include "kernels/common/softmax_state.cuh"
#include "kernels/sample/sampling_row.h"

namespace quern::kernels {

/// The tokens of a sequence so far.
struct TokenHistory {
  const std::int32_t* tokens;
  int count;
  int num_generated;  ///< the last so many
};

/// A part of a row of scores, in shared memory: those of the ids from `begin` on.
struct ScoresPart {
  float* scores;
  int begin;
  int count;

  __device__ bool holds(int id) const { return id >= begin && id < begin + count; }
};

__device__ inline bool has_processors(const SamplingRow& row) {
  return row.repetition_penalty != 1.0f || row.presence_penalty != 0.0f ||
         row.frequency_penalty != 0.0f || row.no_repeat_ngram_size > 0 || row.num_logit_bias > 0;
}

// The processors in their order, each by all threads of the block, which are in step before and
// after. With the roundings of the CPU's, so that scores are the same to the bit.

/// `logits`: the row before any change, so that an id that occurs twice is punished once.
__device__ inline void penalize_repetition(const TokenHistory& history, float penalty,
                                           const float* logits, const ScoresPart& part) {
  for (int i = threadIdx.x; i < history.count; i += blockDim.x) {
    const int id = history.tokens[i];
    if (!part.holds(id)) continue;
    const float logit = logits[id];
    part.scores[id - part.begin] = logit < 0.0f ? logit * penalty : logit / penalty;
  }
  __syncthreads();
}

/// `counts`: scratch in shared memory, as long as the part.
__device__ inline void penalize_generated(const TokenHistory& history, float presence,
                                          float frequency, const ScoresPart& part, int* counts) {
  for (int i = threadIdx.x; i < part.count; i += blockDim.x) counts[i] = 0;
  __syncthreads();
  const int first = history.count - history.num_generated;
  for (int i = first + static_cast<int>(threadIdx.x); i < history.count; i += blockDim.x) {
    const int id = history.tokens[i];
    if (part.holds(id)) atomicAdd(&counts[id - part.begin], 1);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < part.count; i += blockDim.x) {
    if (counts[i] == 0) continue;
    part.scores[i] -= __fadd_rn(presence, __fmul_rn(frequency, static_cast<float>(counts[i])));
  }
  __syncthreads();
}

__device__ inline void ban_repeated_ngrams(const TokenHistory& history, int ngram_size,
                                           const ScoresPart& part) {
  const std::int32_t* prefix = history.tokens + history.count - (ngram_size - 1);
  for (int begin = threadIdx.x; begin + ngram_size <= history.count; begin += blockDim.x) {
    const int next = history.tokens[begin + ngram_size - 1];
    if (!part.holds(next)) continue;
    bool repeats = true;
    for (int i = 0; i < ngram_size - 1 && repeats; ++i) {
      repeats = history.tokens[begin + i] == prefix[i];
    }
    if (repeats) part.scores[next - part.begin] = kLowest;
  }
  __syncthreads();
}

/// `allowed`: the row's bits, 32 ids a word, set where an id may be chosen. After the others, which
/// would bring back what it takes out.
__device__ inline void mask_tokens(const std::int32_t* allowed, const ScoresPart& part) {
  for (int i = threadIdx.x; i < part.count; i += blockDim.x) {
    const auto id = static_cast<std::uint32_t>(part.begin + i);
    const auto word = static_cast<std::uint32_t>(allowed[id / 32]);
    if ((word >> id % 32 & 1u) == 0) part.scores[i] = kLowest;
  }
  __syncthreads();
}

/// An id that occurs several times gets its biases one after the other, from one thread.
__device__ inline void add_logit_bias(const SamplingRow& row, const ScoresPart& part) {
  for (int i = threadIdx.x; i < row.num_logit_bias; i += blockDim.x) {
    const int id = row.bias_ids[i];
    if (!part.holds(id)) continue;
    bool first = true;
    for (int j = 0; j < i; ++j) first &= row.bias_ids[j] != id;
    if (!first) continue;
    float score = part.scores[id - part.begin];
    for (int j = i; j < row.num_logit_bias; ++j) {
      if (row.bias_ids[j] == id) score += row.bias_values[j];
    }
    part.scores[id - part.begin] = score;
  }
  __syncthreads();
}

}  // namespace quern::kernels
