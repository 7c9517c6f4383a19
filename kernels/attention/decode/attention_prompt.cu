#include <algorithm>

#include "kernels/attention/decode/attention_decode.h"
#include "kernels/attention/decode/attention_prompt.h"
#include "kernels/attention/decode/decode_block.cuh"
#include "kernels/attention/decode/decode_merge.cuh"
#include "kernels/attention/decode/decode_warp.cuh"
#include "kernels/attention/dispatch_attention.h"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/launch.h"

namespace quern::kernels {
namespace {

constexpr int kWarps = kDecodeHeads;
constexpr int kThreads = 32 * kWarps;
/// KvHead::own_slot where all keys and values are in the cache.
constexpr int kAllCached = -1;

/// Kernel argument.
struct Plan {
  AttentionPromptParams params;
  int tokens = 1;  ///< of a sequence that share a block
};

/// The queries of up to eight rows, each of which ends at its own token's slot.
template <typename T, int kHeadDim>
struct PromptRows : DecodeToken<T, kHeadDim, KvStorage::unscaled> {
  int ends[kDecodeHeads];

  __device__ int end_of(int query, int end) const { return min(ends[query], end); }
};

/// Shared memory of a block, followed by sums [kWarps, rows of the block, kSumsStride].
template <typename T, int kHeadDim>
struct PromptMemory {
  static constexpr int kMaxWarps = kDecodeHeads;
  static constexpr int kSumsStride = kHeadDim + 1;  ///< see DecodeMemory
  PromptRows<T, kHeadDim> rows;
  KvHead kv_head;  ///< with the slots of the split
  SoftmaxState states[kWarps][kDecodeHeads];
  // Of the splits so far; two states, as a row's threads read one and one of them writes the other.
  SoftmaxState total_states[2][kDecodeHeads];
  float totals[kDecodeHeads * kHeadDim];

  __device__ float* sums() { return reinterpret_cast<float*>(this + 1); }
  __device__ float* sums(int warp, int heads) { return sums() + warp * heads * kSumsStride; }

  static constexpr std::size_t bytes(int rows) {
    return sizeof(PromptMemory) + sizeof(float) * kWarps * rows * kSumsStride;
  }
};

/// One thread block: the rows of a QueryTile under one kv head.
template <typename T, int kHeadDim>
class PromptBlock {
  using Memory = PromptMemory<T, kHeadDim>;
  using Warp = DecodeWarp<T, kHeadDim, KvStorage::unscaled, PromptRows<T, kHeadDim>>;

 public:
  __device__ PromptBlock(const AttentionParams& p, const QueryTile& tile, int kv_head,
                         Memory& shared)
      : p_(p), tile_(tile), kv_head_(kv_head), shared_(shared) {}

  __device__ void run() {
    load_rows();
    const int end = own_slot(tile_.count - 1) + 1;
    // With a window all rows are one token's.
    const int begin = first_visible(p_, end - 1);
    const Splits splits = split(end - begin, kMaxSplits);  // as the longest of the rows
    Warp warp(p_);
    for (int i = 0; i < splits.count; ++i) {
      const int first = begin + i * splits.slots;
      attend(warp, first, min(end, first + splits.slots));
      merge(i, i + 1 == splits.count);
    }
  }

 private:
  __device__ int own_slot(int row) const {
    const AttentionSequence& s = tile_.sequence;
    return s.kv_len - s.q_len + (tile_.first + row) / (p_.num_heads / p_.num_kv_heads);
  }

  __device__ void load_rows() {
    constexpr int kChunks = kHeadDim / 8;  // of 16 bytes
    const int group = p_.num_heads / p_.num_kv_heads;
    for (int i = threadIdx.x; i < kDecodeHeads * kChunks; i += kThreads) {
      const int row = i / kChunks;
      const int token = tile_.sequence.first_row + (tile_.first + row) / group;
      const int head = kv_head_ * group + (tile_.first + row) % group;
      uint4 loaded{};
      if (row < tile_.count) {
        const T* query = static_cast<const T*>(p_.queries) +
                         (std::int64_t{token} * p_.num_heads + head) * kHeadDim;
        loaded = reinterpret_cast<const uint4*>(query)[i % kChunks];
      }
      reinterpret_cast<uint4*>(shared_.rows.queries[row])[i % kChunks] = loaded;
    }
    const int row = static_cast<int>(threadIdx.x);
    if (row < kDecodeHeads) shared_.rows.ends[row] = row < tile_.count ? own_slot(row) + 1 : 0;
  }

  /// The warps' sums of the slots of a split.
  __device__ void attend(Warp& warp, int begin, int end) {
    if (threadIdx.x == 0) {
      shared_.kv_head = {tile_.sequence.state_row, kv_head_, kAllCached, begin, end, end};
    }
    __syncthreads();  // the rows are loaded; the sums of the split before are merged
    const int warp_index = static_cast<int>(threadIdx.x) / 32;
    const int first = begin + warp_index * kDecodeSlots;
    warp.load(warp.find_row(shared_.kv_head, first));
    warp.attend(shared_.rows, shared_.kv_head, first, kWarps * kDecodeSlots);
    warp.store(tile_.count, Memory::kSumsStride, shared_.sums(warp_index, tile_.count),
               shared_.states[warp_index]);
    __syncthreads();
  }

  /// Adds a split to the totals. merge_splits() adds them in the same order relative to the largest
  /// exponent of all; factors are powers of two, so that the bits are the same.
  __device__ void merge(int split, bool is_last) {
    for (int i = threadIdx.x; i < tile_.count * kHeadDim; i += kThreads) {
      const int row = i / kHeadDim;
      const int element = i % kHeadDim;
      SoftmaxState state;
      const float sum = merge_warps(shared_, tile_.count, row, element, state);
      float total = sum;
      if (split > 0) {
        SoftmaxState merged = shared_.total_states[split % 2][row];
        const float correction = merged.raise(state.exponent);
        const float scale = merged.scale_of(state);
        total = correction * shared_.totals[i] + scale * sum;
        merged.sum += scale * state.sum;
        state = merged;
      }
      if (is_last) {
        tile_row<T>(p_, tile_, kv_head_, row)[element] = from_float<T>(total / state.sum);
        continue;
      }
      shared_.totals[i] = total;
      if (element == 0) shared_.total_states[(split + 1) % 2][row] = state;
    }
  }

  const AttentionParams& p_;
  const QueryTile& tile_;
  int kv_head_;
  Memory& shared_;
};

/// grid: tiles of rows in reverse, since the last ones attend to the most slots; kv heads, each
/// with its query heads in groups of eight.
template <typename T, int kHeadDim>
__global__ void __launch_bounds__(kThreads, warps_per_multiprocessor(kHeadDim) / kWarps)
    attention_prompt_kernel(const __grid_constant__ Plan plan) {
  let_next_kernel_start();
  const AttentionParams& p = plan.params.attention;
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  const int group = p.num_heads / p.num_kv_heads;
  const int chunks = head_chunks(p.num_heads, p.num_kv_heads);
  const int kv_head = static_cast<int>(blockIdx.y) / chunks;
  const int first = static_cast<int>(blockIdx.y) % chunks * kDecodeHeads;
  QueryTile tile = find_tile(p, p.num_decode_seqs, plan.tokens * group,
                             static_cast<int>(gridDim.x - 1 - blockIdx.x));
  wait_for_earlier_kernels();
  if (tile.count == 0) return;
  tile.first += first;
  tile.count = min(kDecodeHeads, tile.count - first);
  if (!tile.sequence.running) return zero_rows<T>(p, tile, kv_head);
  auto& shared = *reinterpret_cast<PromptMemory<T, kHeadDim>*>(shared_bytes);
  PromptBlock<T, kHeadDim>(p, tile, kv_head, shared).run();
}

}  // namespace

bool attention_prompt_supports(const AttentionParams& params) {
  return attention_decode_supports(params.dtype, params.head_dim) &&
         storage_of(params) == KvStorage::unscaled;
}

int prompt_tokens_of_block(const AttentionPromptParams& params) {
  const AttentionParams& p = params.attention;
  // A window begins at each token's own slot, and so do the splits of very long sequences.
  if (p.window > 0 || params.max_kv_len > kMaxSplits * kMinSplitSlots) return 1;
  return std::max(1, kDecodeHeads / (p.num_heads / p.num_kv_heads));
}

void attention_prompt(const AttentionPromptParams& params, cudaStream_t stream) {
  const AttentionParams& p = params.attention;
  const Plan plan{params, prompt_tokens_of_block(params)};
  const int rows = plan.tokens * (p.num_heads / p.num_kv_heads);
  dispatch_mma(p.dtype, p.head_dim, "attention_prompt", [&]<typename T, int kHeadDim>() {
    using Memory = PromptMemory<T, kHeadDim>;
    static_assert(Memory::bytes(kDecodeHeads) <= kMaxSharedBytes);
    launch(attention_prompt_kernel<T, kHeadDim>,
           {.grid = dim3(static_cast<unsigned>(max_tiles(p, p.num_decode_seqs, rows)),
                         static_cast<unsigned>(decode_counters(p.num_heads, p.num_kv_heads))),
            .block = dim3(kThreads),
            .shared_bytes = Memory::bytes(std::min(kDecodeHeads, rows)),
            .use_pdl = p.use_pdl},
           stream, plan);
  });
}

}  // namespace quern::kernels
