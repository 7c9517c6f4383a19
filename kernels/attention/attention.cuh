#pragma once

#include "kernels/attention/attention.h"
#include "kernels/common/convert.cuh"
#include "kernels/common/reduce.cuh"

namespace quern::kernels {

/// One sequence of the step.
struct AttentionSequence {
  int state_row = 0;
  int first_row = 0;  ///< its first token row
  int q_len = 0;
  int kv_len = 0;  ///< after the append
  bool decode = false;
  bool running = false;
};

/// A sequence of num_decode_seqs; only its state is read.
__device__ inline AttentionSequence decode_sequence_of(const AttentionParams& p, int seq) {
  AttentionSequence s;
  s.state_row = p.state_index[seq];
  s.first_row = seq;
  s.q_len = 1;
  s.kv_len = p.state_kv_len[s.state_row] + 1;
  s.decode = true;
  s.running = p.finished[s.state_row] == 0;
  return s;
}

__device__ inline AttentionSequence sequence_of(const AttentionParams& p, int seq) {
  if (seq < p.num_decode_seqs) return decode_sequence_of(p, seq);
  AttentionSequence s;
  s.state_row = p.state_index[seq];
  s.first_row = p.cu_seqlens_q[seq];
  s.q_len = p.cu_seqlens_q[seq + 1] - s.first_row;
  s.kv_len = p.kv_lens[seq];
  s.running = p.finished[s.state_row] == 0;
  return s;
}

/// The position of a token row, for rope and logn.
__device__ inline int position_of(const AttentionParams& p, const AttentionSequence& s, int row) {
  return s.decode ? p.state_position[s.state_row] : p.positions[row];
}

/// The logn factor of a query.
__device__ inline float logn_scale(const AttentionParams& p, int position) {
  if (p.logn_length == 0 || position < p.logn_length) return 1.0f;
  return logf(static_cast<float>(position) + 1.0f) / logf(static_cast<float>(p.logn_length));
}

/// The row of a slot in this layer's keys and values, each head_dim elements long.
__device__ inline int slot_row(const AttentionParams& p, int state_row, int kv_head, int slot) {
  const int index = slot / p.block_size;
  const int block = p.block_table[std::int64_t{state_row} * p.max_blocks_per_seq + index];
  return (block * p.num_kv_heads + kv_head) * p.block_size + slot - index * p.block_size;
}

/// The first slot that the token in slot `own` attends to.
__device__ inline int first_visible(const AttentionParams& p, int own) {
  return p.window > 0 ? max(0, own - p.window + 1) : 0;
}

/// The scaled (and softcapped) score of a dot product.
__device__ inline float score_of(const AttentionParams& p, float product) {
  const float score = p.scale * product;
  return p.softcap > 0.0f ? p.softcap * tanhf(score / p.softcap) : score;
}

/// One head of q or k, normed (where there is a gain), rotated, scaled and rounded to T. Run by a
/// warp; `out` does not overlap `in`. Products are fused explicitly, so that every kernel that
/// inlines this computes the same bits.
template <typename T>
__device__ inline void prepare_head(const AttentionParams& p, const T* in, const float* gain,
                                    const float2* rotation, float scale, T* out) {
  const int lane = threadIdx.x % 32;
  float norm = 1.0f;
  if (gain != nullptr) {
    float sum = 0.0f;
    for (int i = lane; i < p.head_dim; i += 32) {
      sum = fmaf(to_float(in[i]), to_float(in[i]), sum);
    }
    norm = 1.0f / sqrtf(warp_sum(sum) / static_cast<float>(p.head_dim) + p.norm_epsilon);
  }
  const auto value = [&](int i) {
    const float x = to_float(in[i]);
    return gain == nullptr ? x : x * norm * gain[i];
  };
  const int pairs = p.rope.num_pairs;
  for (int i = lane; i < pairs; i += 32) {
    const float first = value(i);
    const float second = value(i + pairs);
    const auto [cosine, sine] = rotation[i];
    out[i] = from_float<T>(fmaf(first, cosine, -__fmul_rn(second, sine)) * scale);
    out[i + pairs] = from_float<T>(fmaf(second, cosine, __fmul_rn(first, sine)) * scale);
  }
  for (int i = 2 * pairs + lane; i < p.head_dim; i += 32) out[i] = from_float<T>(value(i) * scale);
}

/// The first element of a head in a row of qkv: query heads, then keys, then values.
template <typename T>
__device__ inline const T* qkv_head(const AttentionParams& p, std::int64_t row, int head) {
  const std::int64_t heads = p.num_heads + 2 * p.num_kv_heads;
  return static_cast<const T*>(p.qkv) + (row * heads + head) * p.head_dim;
}

/// A tile of consecutive query rows of one sequence under one kv head. A row is a query head of a
/// new token: row r belongs to token r / group and to the group's head r % group.
struct QueryTile {
  AttentionSequence sequence;
  int first = 0;
  int count = 0;  ///< 0: no such tile
};

/// The `index`-th tile of `rows` rows, of the sequences from `first_seq` on.
__device__ inline QueryTile find_tile(const AttentionParams& p, int first_seq, int rows,
                                      int index) {
  const int group = p.num_heads / p.num_kv_heads;
  for (int seq = first_seq; seq < p.num_seqs; ++seq) {
    const int total = (p.cu_seqlens_q[seq + 1] - p.cu_seqlens_q[seq]) * group;
    const int tiles = (total + rows - 1) / rows;
    if (index < tiles) {
      return {sequence_of(p, seq), index * rows, min(rows, total - index * rows)};
    }
    index -= tiles;
  }
  return {};
}

/// Output address of a tile's row.
template <typename T>
__device__ inline T* tile_row(const AttentionParams& p, const QueryTile& tile, int kv_head,
                              int row) {
  const int group = p.num_heads / p.num_kv_heads;
  const int token = tile.sequence.first_row + (tile.first + row) / group;
  const int head = kv_head * group + (tile.first + row) % group;
  return static_cast<T*>(p.out) + (std::int64_t{token} * p.num_heads + head) * p.head_dim;
}

/// Writes zeros for the rows of a finished sequence; run by the block.
template <typename T>
__device__ inline void zero_rows(const AttentionParams& p, const QueryTile& tile, int kv_head) {
  for (int i = threadIdx.x; i < tile.count * p.head_dim; i += blockDim.x) {
    tile_row<T>(p, tile, kv_head, i / p.head_dim)[i % p.head_dim] = T(0.0f);
  }
}

/// Upper bound of the number of tiles: the grid size.
inline int max_tiles(const AttentionParams& p, int first_seq, int rows) {
  const int tokens = p.num_tokens - first_seq;  // decode sequences have one token each
  const int group = p.num_heads / p.num_kv_heads;
  return tokens * group / rows + p.num_seqs - first_seq;
}

}  // namespace quern::kernels
