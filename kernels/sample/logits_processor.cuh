#pragma once

#include <cstdint>

#include "kernels/common/softmax_state.cuh"
#include "kernels/sample/sampling_row.h"

namespace quern::kernels {

/// Token history of a sequence: prompt and generated tokens.
struct TokenHistory {
  const std::int32_t* tokens;
  int count;
  int num_generated;  ///< the last num_generated of them
};

/// A vocabulary slice of a row's scores, in shared memory; the first id is `begin`.
struct ScoresSlice {
  float* scores;
  int begin;
  int count;

  __device__ bool holds(int id) const { return id >= begin && id < begin + count; }
  __device__ int id_of(int place) const { return begin + place; }
  /// The id's place in `scores`, -1 where it has none.
  __device__ int place_of(int id) const { return holds(id) ? id - begin : -1; }
};

__device__ inline bool has_processors(const SamplingRow& row) {
  return row.repetition_penalty != 1.0f || row.presence_penalty != 0.0f ||
         row.frequency_penalty != 0.0f || row.no_repeat_ngram_size > 0 ||
         row.num_banned_phrases > 0 || row.num_logit_bias > 0 || row.dry_multiplier > 0.0f;
}

// Logits processors in order of application; each is run by all threads of the block and starts and
// ends synchronized. Rounding is the CPU's: scores are bit-identical. `Slice`: a ScoresSlice, or
// other parts of a row with the same operations.

/// `logits`: the unmodified row, so that an id that occurs twice is penalized once.
template <typename Slice>
__device__ inline void penalize_repetition(const TokenHistory& history, float penalty,
                                           const float* logits, const Slice& slice) {
  for (int i = threadIdx.x; i < history.count; i += blockDim.x) {
    const int id = history.tokens[i];
    const int place = slice.place_of(id);
    if (place < 0) continue;
    const float logit = logits[id];
    slice.scores[place] = logit < 0.0f ? logit * penalty : logit / penalty;
  }
  __syncthreads();
}

/// `counts`: scratch in shared memory, as long as the slice.
template <typename Slice>
__device__ inline void penalize_generated(const TokenHistory& history, float presence,
                                          float frequency, const Slice& slice, int* counts) {
  for (int i = threadIdx.x; i < slice.count; i += blockDim.x) counts[i] = 0;
  __syncthreads();
  const int first = history.count - history.num_generated;
  for (int i = first + static_cast<int>(threadIdx.x); i < history.count; i += blockDim.x) {
    const int place = slice.place_of(history.tokens[i]);
    if (place >= 0) atomicAdd(&counts[place], 1);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < slice.count; i += blockDim.x) {
    if (counts[i] == 0) continue;
    slice.scores[i] -= __fadd_rn(presence, __fmul_rn(frequency, static_cast<float>(counts[i])));
  }
  __syncthreads();
}

__device__ inline bool breaks_repeats(const SamplingRow& row, int id) {
  for (int i = 0; i < row.num_dry_breakers; ++i) {
    if (row.dry_breakers[i] == id) return true;
  }
  return false;
}

/// The number of tokens before `end` that are the history's last ones, up to kMaxDryMatch and to
/// the first sequence breaker.
__device__ inline int match_length(const SamplingRow& row, const std::int32_t* tokens, int end,
                                   int count) {
  int length = 0;
  while (length < end && length < kMaxDryMatch) {
    const int id = tokens[end - 1 - length];
    if (id != tokens[count - 1 - length] || breaks_repeats(row, id)) break;
    ++length;
  }
  return length;
}

/// DRY. `lengths`: scratch in shared memory, as long as the slice. Not inlined: few requests use
/// it.
template <typename Slice>
__device__ __noinline__ void penalize_repeats(const SamplingRow& row, TokenHistory history,
                                              Slice slice, int* lengths) {
  for (int i = threadIdx.x; i < slice.count; i += blockDim.x) lengths[i] = 0;
  __syncthreads();
  const int count = row.dry_range > 0 ? min(row.dry_range, history.count) : history.count;
  const std::int32_t* tokens = history.tokens + history.count - count;
  for (int i = 1 + static_cast<int>(threadIdx.x); i < count; i += blockDim.x) {
    const int next = tokens[i];
    const int place = slice.place_of(next);
    if (place < 0 || breaks_repeats(row, next)) continue;
    const int length = match_length(row, tokens, i, count);
    if (length > 0) atomicMax(&lengths[place], length);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < slice.count; i += blockDim.x) {
    if (lengths[i] == 0 || lengths[i] < row.dry_allowed_length) continue;
    float penalty = row.dry_multiplier;
    for (int k = row.dry_allowed_length; k < lengths[i]; ++k) {
      penalty = __fmul_rn(penalty, row.dry_base);
    }
    slice.scores[i] -= penalty;
  }
  __syncthreads();
}

template <typename Slice>
__device__ inline void ban_repeated_ngrams(const TokenHistory& history, int ngram_size,
                                           const Slice& slice) {
  const std::int32_t* prefix = history.tokens + history.count - (ngram_size - 1);
  for (int begin = threadIdx.x; begin + ngram_size <= history.count; begin += blockDim.x) {
    const int place = slice.place_of(history.tokens[begin + ngram_size - 1]);
    if (place < 0) continue;
    bool repeats = true;
    for (int i = 0; i < ngram_size - 1 && repeats; ++i) {
      repeats = history.tokens[begin + i] == prefix[i];
    }
    if (repeats) slice.scores[place] = kLowest;
  }
  __syncthreads();
}

/// A thread for each phrase.
template <typename Slice>
__device__ inline void ban_phrases(const SamplingRow& row, const TokenHistory& history,
                                   const Slice& slice) {
  for (int i = threadIdx.x; i < row.num_banned_phrases; i += blockDim.x) {
    const int begin = i == 0 ? 0 : row.banned_phrase_ends[i - 1];
    const int num_earlier = row.banned_phrase_ends[i] - begin - 1;
    const std::int32_t* phrase = row.banned_phrase_tokens + begin;
    const int place = slice.place_of(phrase[num_earlier]);
    if (num_earlier > history.count || place < 0) continue;
    const std::int32_t* end = history.tokens + history.count - num_earlier;
    bool matches = true;
    for (int k = 0; k < num_earlier && matches; ++k) matches = end[k] == phrase[k];
    if (matches) slice.scores[place] = kLowest;
  }
  __syncthreads();
}

/// `allowed`: the row's bitmask, 32 ids per word, set where an id is allowed. Applied last: the
/// other processors could make a masked score finite again.
template <typename Slice>
__device__ inline void mask_tokens(const std::int32_t* allowed, const Slice& slice) {
  for (int i = threadIdx.x; i < slice.count; i += blockDim.x) {
    if (slice.scores[i] == kLowest) continue;  // perhaps beyond the vocabulary
    const auto id = static_cast<std::uint32_t>(slice.id_of(i));
    const auto word = static_cast<std::uint32_t>(allowed[id / 32]);
    if ((word >> id % 32 & 1u) == 0) slice.scores[i] = kLowest;
  }
  __syncthreads();
}

/// Repeated biases of an id are added in order, by one thread.
template <typename Slice>
__device__ inline void add_logit_bias(const SamplingRow& row, int num_generated,
                                      const Slice& slice) {
  for (int i = threadIdx.x; i < row.num_logit_bias; i += blockDim.x) {
    const int id = row.bias_ids[i];
    const int place = slice.place_of(id);
    if (place < 0) continue;
    bool first = true;
    for (int j = 0; j < i; ++j) first &= row.bias_ids[j] != id;
    if (!first) continue;
    float score = slice.scores[place];
    for (int j = i; j < row.num_logit_bias; ++j) {
      const int until = row.bias_until[j];
      if (row.bias_ids[j] == id && (until == 0 || num_generated < until)) {
        score += row.bias_values[j];
      }
    }
    slice.scores[place] = score;
  }
  __syncthreads();
}

}  // namespace quern::kernels
