#pragma once

#include "kernels/attention/attention.cuh"
#include "kernels/common/reduce.cuh"

namespace quern::kernels {

/// One work item of prefill attention: a query tile under one kv head.
struct PrefillWork {
  QueryTile tile;  ///< count 0: no more items
  int kv_head = 0;

  /// The slot of the row's own token; padding rows have the last row's.
  __device__ int own_slot(int row, int group) const {
    const AttentionSequence& s = tile.sequence;
    return s.kv_len - s.q_len + (tile.first + min(row, tile.count - 1)) / group;
  }
};

/// Number of tiles of `rows` rows of a sequence; 0 past the last sequence.
__device__ inline int num_tiles_of(const AttentionParams& p, int seq, int rows) {
  if (seq >= p.num_seqs) return 0;
  const int group = p.num_heads / p.num_kv_heads;
  return ((p.cu_seqlens_q[seq + 1] - p.cu_seqlens_q[seq]) * group + rows - 1) / rows;
}

/// Inclusive prefix sum over the warp.
__device__ inline int warp_inclusive_sum(int value) {
  const int lane = threadIdx.x % kWarpSize;
#pragma unroll
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const int other = __shfl_up_sync(~0u, value, distance);
    if (lane >= distance) value += other;
  }
  return value;
}

/// The `index`-th tile of the prefill sequences, found by a warp; it must exist.
__device__ inline QueryTile find_tile_by_warp(const AttentionParams& p, int rows, int index) {
  const int group = p.num_heads / p.num_kv_heads;
  for (int begin = p.num_decode_seqs;; begin += kWarpSize) {
    const int seq = begin + static_cast<int>(threadIdx.x % kWarpSize);
    const int tiles = num_tiles_of(p, seq, rows);
    const int upto = warp_inclusive_sum(tiles);
    const unsigned behind = __ballot_sync(~0u, upto > index);
    if (behind != 0) {
      const int lane = __ffs(static_cast<int>(behind)) - 1;
      index -= __shfl_sync(~0u, upto - tiles, lane);
      const AttentionSequence s = sequence_of(p, begin + lane);
      return {s, index * rows, min(rows, s.q_len * group - index * rows)};
    }
    index -= __shfl_sync(~0u, upto, kWarpSize - 1);
  }
}

/// The `item`-th work item, found by a warp. Kv heads are processed in sections of `section_heads`,
/// whose keys and values fit into L2; within a section the last tiles come first, since they attend
/// to the most slots.
__device__ inline PrefillWork find_work(const AttentionParams& p, int rows, int section_heads,
                                        int item) {
  int total = 0;
  for (int begin = p.num_decode_seqs; begin < p.num_seqs; begin += kWarpSize) {
    total += num_tiles_of(p, begin + static_cast<int>(threadIdx.x % kWarpSize), rows);
  }
  total = warp_sum(total);
  if (item >= total * p.num_kv_heads) return {};
  const int section = item / (total * section_heads);
  const int rest = item - section * total * section_heads;
  const int heads = min(section_heads, p.num_kv_heads - section * section_heads);
  return {find_tile_by_warp(p, rows, total - 1 - rest / heads),
          section * section_heads + rest % heads};
}

}  // namespace quern::kernels
