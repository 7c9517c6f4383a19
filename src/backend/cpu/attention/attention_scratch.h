#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "backend/workspace.h"
#include "base/threads/thread_pool.h"
#include "graph/op.h"
#include "graph/step.h"

namespace quern::cpu {

/// Maximum rows (query heads of consecutive tokens) of an attention tile.
inline constexpr int kAttentionTileRows = 32;

/// The sizes that determine an attention's scratch.
struct AttentionSizes {
  std::int64_t num_tokens = 0;
  std::int64_t num_seqs = 0;
  std::int64_t max_kv_len = 0;
  std::int64_t block_size = 0;
};

/// Query heads per kv head.
inline int group_size(const Attention& op) { return op.num_heads / op.num_kv_heads; }

/// New tokens of a sequence per tile: their heads of one group are the tile's rows.
inline int tile_tokens(const Attention& op) {
  return std::max(1, kAttentionTileRows / group_size(op));
}

/// Scratch of one attention node.
struct AttentionScratch {
  float* queries = nullptr;   ///< [num_kv_heads][num_tokens][group_size][head_dim], rotated, scaled
  float* inv_freq = nullptr;  ///< [num_seqs, rotary_dim / 2]
  std::int32_t* tile_ends = nullptr;  ///< [num_seqs] inclusive prefix sum of the sequences' tiles
  // By thread:
  float* head = nullptr;          ///< [threads, head_stride]: cosines, sines, one key
  float* widened = nullptr;       ///< [threads, widened_stride] a block of keys or values
  float* scores = nullptr;        ///< [threads, rows, max_kv_len]
  float* sums = nullptr;          ///< [threads, rows, head_dim]
  float* partial_sums = nullptr;  ///< [threads, rows, head_dim] of one section, see attention.cc
  float* denominators = nullptr;  ///< [threads, rows]
  std::int64_t head_stride = 0;
  std::int64_t widened_stride = 0;
  std::int64_t scores_stride = 0;
  std::int64_t sums_stride = 0;
  std::int64_t denominators_stride = 0;
};

AttentionScratch take_attention_scratch(Workspace& workspace, const Attention& op,
                                        const AttentionSizes& sizes, int threads);

/// Norms, rotates, scales and rounds q and k, appends k and v to the cache, and writes q to
/// scratch.queries. Zeroes the out rows of finished sequences.
void append_tokens(const Attention& op, const Step& step, const AttentionScratch& scratch,
                   ThreadPool& pool);

/// Keys or values of consecutive slots: [count, head_dim] as stored, and their scales or null.
struct CachedVectors {
  Tensor stored;
  float* scales = nullptr;
};

/// The vectors as a GEMM with M = `rows` needs them; `scratch` has room for their float32 copy.
Tensor prepare_vectors(const CachedVectors& vectors, std::int64_t rows, float* scratch);

/// Addresses of a sequence's slots in the cache.
class KvSlots {
 public:
  KvSlots(const KvCacheView& cache, int layer, int kv_head, std::int32_t state_row)
      : cache_(cache),
        blocks_(cache.block_table + std::int64_t{state_row} * cache.max_blocks_per_seq),
        layer_(layer),
        kv_head_(kv_head) {}

  /// The slots from `slot` on that are contiguous in one block, at most up to `end`.
  CachedVectors keys(std::int64_t slot, std::int64_t end) const;
  CachedVectors values(std::int64_t slot, std::int64_t end) const;

 private:
  /// The block of slot `slot`, its index there, and the number of slots up to `end` from it on.
  struct Run {
    std::int64_t block = 0;
    int first = 0;
    std::int64_t count = 0;
  };
  Run run(std::int64_t slot, std::int64_t end) const;
  Tensor vectors(std::byte* data, DType dtype, std::int64_t count) const {
    return {data, count, cache_.head_dim, cache_.head_dim, dtype, Device{}};
  }

  const KvCacheView& cache_;
  const std::int32_t* blocks_;
  int layer_;
  int kv_head_;
};

}  // namespace quern::cpu
