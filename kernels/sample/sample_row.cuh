#pragma once

#include <cstdint>

#include "kernels/common/philox.cuh"
#include "kernels/sample/extended_filter.cuh"
#include "kernels/sample/group_draw.cuh"
#include "kernels/sample/logits_processor.cuh"
#include "kernels/sample/sample.h"
#include "kernels/sample/sampling_filter.cuh"

namespace quern::kernels {

// A row of sample(), and what its blocks share.

inline constexpr int kThreads = 256;
/// Occupancy: registers and shared memory of every GPU allow this many.
inline constexpr int kBlocksPerMultiprocessor = 3;
/// Tokens of a vocabulary slice: one block each.
inline constexpr int kSliceTokens = 2048;
inline constexpr int kSliceGroups = kSliceTokens / kGroupTokens;
static_assert(kSliceGroups == kGroupsAtOnce, "scores of so many groups have room");
using Filter = SamplingFilter<kThreads>;
using DrawFromGroups = GroupDraw<kThreads>;

__device__ inline bool has_filters(const SamplingRow& row) {
  return row.temperature > 0.0f &&
         (row.top_k > 0 || row.top_p < 1.0f || row.min_p > 0.0f || has_extended_filters(row));
}

/// Whether the row's last block draws.
__device__ inline bool is_drawn_at_last(const SamplingRow& row, int num_blocks) {
  return draws_from_groups(row, num_blocks * kSliceGroups) && !has_extended_filters(row);
}

/// What a row uses, as bits. Read before the kernel waits for earlier ones: one latency of global
/// memory for all, in place of one wherever a parameter is looked at first, and after a fence
/// again.
enum Features : std::uint32_t {
  kLogprobs = 1,
  kProcessors = 2,
  kFilters = 4,
  kDrawnAtLast = 8,
  kMirostat = 16,
};

__device__ inline std::uint32_t features_of(const SamplingRow& row, int num_blocks) {
  std::uint32_t features = 0;
  if (row.num_top_logprobs >= 0) features |= kLogprobs;
  if (has_processors(row)) features |= kProcessors;
  if (has_filters(row)) features |= kFilters;
  if (is_drawn_at_last(row, num_blocks)) features |= kDrawnAtLast;
  if (row.mirostat_tau > 0.0f) features |= kMirostat;
  return features;
}

/// One row of logits and its sequence.
struct Row {
  int index;  ///< row of the logits
  int state_row;
  const float* logits;
  const SamplingRow& sampling;
  TokenHistory history;
  DrawKey draw;
  float temperature;
  std::uint32_t features;

  __device__ bool uses(Features feature) const { return (features & feature) != 0; }
};

/// What functions that are not inlined know of their row, in shared memory: a reference to the
/// kernel's parameters would be read through global memory.
struct RowState {
  SampleParams params;
  Row row;
};

/// A block's slice of the scores, and scratch.
struct SharedMemory {
  alignas(16) float scores[kSliceTokens];
  alignas(16) unsigned char row_state_bytes[sizeof(RowState)];
  union {
    int counts[kSliceTokens];
    Filter::SharedMemory filter;
    DrawFromGroups::SharedMemory groups;
  };

  __device__ const RowState& row_state() const {
    return *reinterpret_cast<const RowState*>(row_state_bytes);
  }
};
static_assert(kBlocksPerMultiprocessor * (sizeof(SharedMemory) + 2048) <= kMaxSharedBytes,
              "2048: reductions and more");

__device__ inline Row row_of(const SampleParams& p, int index) {
  const int state_row = p.state_index[p.logit_seqs[index]];
  const SamplingRow& sampling = p.sampling[state_row];
  const int generated = p.generated[state_row];
  const int length = p.prompt_len[state_row] + generated;
  return {index,
          state_row,
          p.logits + index * p.row_stride,
          sampling,
          {p.history + state_row * p.history_stride, length, generated},
          {sampling.seed, sampling.sequence_index, static_cast<std::uint32_t>(length)},
          sampling.temperature,
          features_of(sampling, static_cast<int>(gridDim.x))};
}

__device__ inline ScoresSlice slice_of(const SampleParams& p, int index, float* scores) {
  const int begin = index * kSliceTokens;
  return {scores, begin, min(kSliceTokens, p.vocab_size - begin)};
}

}  // namespace quern::kernels
