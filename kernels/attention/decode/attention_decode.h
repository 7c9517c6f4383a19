#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/attention/attention.h"

namespace quern::kernels {

/// Maximum number of KV splits of a sequence, and the minimum number of slots per split; the actual
/// number follows from the blocks that fit. Smaller splits are faster for one sequence of a few
/// hundred slots, larger ones for a batch.
inline constexpr int kMaxSplits = 64;
inline constexpr int kMinSplitSlots = 256;

/// Query heads of one kv head per block.
inline constexpr int kDecodeHeads = 8;

struct AttentionDecodeParams {
  AttentionParams attention;
  int max_splits = 0;           ///< KV splits of the longest sequence that the block table allows
  int max_slots = 0;            ///< approximate kv_len of the longest sequence: decides the grid
  int num_multiprocessors = 0;  ///< decides how many splits and warps a sequence's heads get
  /// Splits and warps follow from a sequence's own length alone; max_slots is then an upper bound.
  bool deterministic = false;
  float* sums = nullptr;  ///< [num_decode_seqs, num_heads, max_splits, head_dim], 16-byte aligned
  float2* states = nullptr;  ///< [num_decode_seqs, num_heads, max_splits] exponent, sum of weights
  /// [num_decode_seqs · decode_counters(…)] zero before and after: counts finished blocks
  std::uint32_t* counters = nullptr;
};

/// Whether attention_decode supports this.
bool attention_decode_supports(DType dtype, int head_dim);

/// KV splits of the longest sequence.
int decode_splits(std::int64_t max_slots);
/// Counters per sequence.
int decode_counters(int num_heads, int num_kv_heads);

/// The splits and warps of a launch.
struct DecodeShares {
  int splits = 1;  ///< of a sequence, at most
  int warps = kDecodeHeads;
};

/// How attention_decode shares out its work.
DecodeShares decode_shares(const AttentionDecodeParams& params);

/// All of Attention for the decode sequences, in one launch: norm, rope and append, then attention
/// over split slots; the last block of a sequence's head merges the splits. Many sequences are not
/// split, and their blocks have fewer warps. Tensor cores compute scores and sums, eight query
/// heads of a kv head at a time. Finished sequences get zero rows. Errors: see launch.h. Cost:
/// reads the keys and values in use once. Source: Flash-Decoding (Dao et al. 2023).
void attention_decode(const AttentionDecodeParams& params, cudaStream_t stream);

}  // namespace quern::kernels
