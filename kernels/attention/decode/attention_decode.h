#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/attention/attention.h"

namespace quern::kernels {

/// Parts into which a sequence's slots are split, at most, and the fewest slots of one: as many as
/// there are blocks for. Smaller splits serve one sequence of some hundred slots better, larger
/// ones a batch.
inline constexpr int kMaxSplits = 64;
inline constexpr int kMinSplitSlots = 256;

/// Query heads of one kv head that a block works on.
inline constexpr int kDecodeHeads = 8;

struct AttentionDecodeParams {
  AttentionParams attention;
  int max_splits = 0;           ///< of the longest sequence that the block table has room for
  int max_slots = 0;            ///< of the longest sequence now, about: decides the grid
  int num_multiprocessors = 0;  ///< decides how many splits and warps a sequence's heads get
  float* sums = nullptr;  ///< [num_decode_seqs, num_heads, max_splits, head_dim], 16-byte aligned
  float2* states = nullptr;  ///< [num_decode_seqs, num_heads, max_splits] exponent, sum of weights
  /// [num_decode_seqs · decode_counters(…)] zero before and after: blocks that are done
  std::uint32_t* counters = nullptr;
};

/// Whether attention_decode is made for this.
bool attention_decode_supports(DType dtype, int head_dim);

/// Parts of the longest sequence.
int decode_splits(std::int64_t max_slots);
/// Counters of one sequence.
int decode_counters(int num_heads, int num_kv_heads);

/// All of Attention for the decode sequences, in one launch: norm, rope and append, then attention
/// over split slots; the last block of a sequence's head merges the splits. Many sequences are not
/// split, and their blocks have fewer warps. Tensor cores compute scores and sums, eight query
/// heads of a kv head at a time. Finished sequences get zero rows. Errors: see launch.h. Cost:
/// reads the keys and values in use once. Source: Flash-Decoding (Dao et al. 2023).
void attention_decode(const AttentionDecodeParams& params, cudaStream_t stream);

}  // namespace quern::kernels
