#pragma once

#include <algorithm>

#include "kernels/attention/decode/attention_decode.h"
#include "kernels/attention/decode/decode_block.cuh"
#include "kernels/attention/decode/decode_launch.h"
#include "kernels/attention/decode/decode_merge.cuh"
#include "kernels/attention/decode/last_block.cuh"
#include "kernels/attention/dispatch_attention.h"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"

namespace quern::kernels {

/// Index of a KV split's softmax state; times kHeadDim, of its partial sums.
__device__ inline std::int64_t split_index(const AttentionDecodeParams& params,
                                           const HeadGroup& heads, int head, int split) {
  return (std::int64_t{heads.seq} * params.attention.num_heads + heads.first_head + head) *
             params.max_splits +
         split;
}

/// The first slot of the calling warp.
__device__ inline int first_slot(int begin) {
  return begin + static_cast<int>(threadIdx.x) / 32 * kDecodeSlots;
}

/// Attention over the block's slots. Writes the result, or partial results for merge_splits().
template <typename T, int kHeadDim, int kMaxWarps, KvStorage kStorage, typename Token>
__device__ void attend_to_split(const AttentionDecodeParams& params, const Token& token,
                                DecodeWarp<T, kHeadDim, kStorage>& warp,
                                DecodeMemory<T, kHeadDim, kMaxWarps, kStorage>& shared) {
  const DecodeWork& work = shared.work;
  const HeadGroup& heads = work.heads;
  const int warps = num_warps<kMaxWarps>();
  warp.attend(shared.token, work.kv_head, first_slot(work.kv_head.begin), warps * kDecodeSlots);
  const int warp_index = thread_index_anew() / 32;
  warp.store(heads.count, shared.kSumsStride, shared.sums(warp_index, heads.count),
             shared.states[warp_index]);
  token.sync();
  for (int i = threadIdx.x; i < heads.count * kHeadDim; i += 32 * warps) {
    const int head = i / kHeadDim;
    const int element = i % kHeadDim;
    SoftmaxState state;
    const float sum = merge_warps(shared, heads.count, head, element, state);
    if (!kSplitsKv<kMaxWarps> || work.splits.count == 1) {
      token.store(params.attention, work.first_row, heads, i, sum / state.sum);
      continue;
    }
    const std::int64_t index = split_index(params, heads, head, heads.split);
    params.sums[index * kHeadDim + element] = sum;
    if (element == 0) params.states[index] = {state.exponent, state.sum};
  }
}

/// Merges the partial results; runs in the last of the blocks that wrote them.
template <typename T, int kHeadDim, KvStorage kStorage, typename Token>
__device__ void merge_splits(const DecodePlan& plan, int item, const Token& token,
                             DecodeMemory<T, kHeadDim, kDecodeHeads, kStorage>& shared) {
  static_assert(sizeof(SplitWeights) <= sizeof(float) * kDecodeHeads * shared.kSumsStride);
  const AttentionDecodeParams& params = plan.params;
  const HeadGroup& heads = shared.work.heads;
  const int splits = shared.work.splits.count;
  std::uint32_t* counter = params.counters + item / plan.splits;
  if (!is_last_block(counter, splits, [&] { token.sync(); })) return;
  auto* weights = reinterpret_cast<SplitWeights*>(shared.sums());  // free: warps are merged
  const int warp = threadIdx.x / 32;
  if (warp < heads.count) {
    weigh_splits(params.states + split_index(params, heads, warp, 0), splits, weights[warp]);
  }
  token.sync();
  for (int i = 4 * static_cast<int>(threadIdx.x); i < heads.count * kHeadDim;
       i += 4 * static_cast<int>(blockDim.x)) {
    const int head = i / kHeadDim;
    const float* sums = params.sums + split_index(params, heads, head, 0) * kHeadDim + i % kHeadDim;
    token.store_4(params.attention, shared.work.first_row, heads, i,
                  merge_split_sums<kHeadDim>(sums, splits, weights[head]));
  }
}

/// A work item of attention: a split of a row, by the block. Before token.wait() it reads the
/// sequence's state, the block table and the cache except the new token's slot. All of these were
/// written before this step: by the host's copies, and by attention and advance of earlier steps.
/// advance() ends a step, waits for all kernels before it and never triggers the dependent launch
/// early, so nothing of an earlier step is still running.
template <typename T, int kHeadDim, int kMaxWarps, KvStorage kStorage, typename Token>
__device__ void attend_to_item(const DecodePlan& plan, int item, const Token& token,
                               DecodeMemory<T, kHeadDim, kMaxWarps, kStorage>& shared) {
  const AttentionDecodeParams& params = plan.params;
  const AttentionParams& p = params.attention;
  const HeadGroup heads = head_group(plan, item);
  if (heads.seq >= p.num_decode_seqs) return token.wait(p, heads);
  const AttentionSequence s = token.sequence(p, heads.seq);
  if (!s.running) {
    token.wait(p, heads);
    for (int i = threadIdx.x; heads.split == 0 && i < heads.count * kHeadDim; i += blockDim.x) {
      token.store(p, s.first_row, heads, i, 0.0f);
    }
    return;
  }
  const int own_slot = s.kv_len - 1;
  const int first_of_all = first_visible(p, own_slot);
  const Splits splits = split(s.kv_len - first_of_all, plan.splits);
  if (heads.split >= splits.count) {
    if (plan.lets_next_start) token.wait(p, heads);  // other blocks wait in any case
    return;
  }
  const int begin = first_of_all + heads.split * splits.slots;
  const int end = min(s.kv_len, begin + splits.slots);
  const KvHead kv_head{s.state_row, heads.kv_head, own_slot, begin, end, min(end, own_slot)};
  if (threadIdx.x == 0) shared.work = {heads, splits, kv_head, s.first_row};
  // The block table is read now. With few warps per block, co-resident blocks hide the latency of
  // keys and values, and registers to hold them early would be short.
  constexpr bool kLoadsEarly = kMaxWarps == kDecodeHeads;
  DecodeWarp<T, kHeadDim, kStorage> warp(p);
  const int row = warp.find_row(kv_head, first_slot(begin));
  if constexpr (kLoadsEarly) {
    const int next = warp.find_row(kv_head, first_slot(begin) + kMaxWarps * kDecodeSlots);
    warp.load(row);
    warp.prefetch(next);
  }
  const int position = token.position(p, s);
  prepare_token(p, s, position, heads.count, shared);
  token.sync();
  token.wait(p, heads);
  load_token(p, s.first_row, heads, position, token, shared);
  if constexpr (!kLoadsEarly) warp.load(row);
  token.sync();
  const DecodeWork& work = shared.work;
  if (work.heads.split == work.splits.count - 1 && threadIdx.x / 32 == num_warps<kMaxWarps>() - 1) {
    append_token(p, work.kv_head, shared.token);
  }
  attend_to_split(params, token, warp, shared);
  if constexpr (kSplitsKv<kMaxWarps>) {
    if (work.splits.count > 1) merge_splits(plan, item, token, shared);
  }
}

template <typename T, int kHeadDim, int kMaxWarps, KvStorage kStorage>
__global__ void __launch_bounds__(32 * kMaxWarps, warps_per_multiprocessor(kHeadDim) / kMaxWarps)
    attention_decode_kernel(const __grid_constant__ DecodePlan plan) {
  if (plan.lets_next_start) let_next_kernel_start();
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  auto& shared = *reinterpret_cast<DecodeMemory<T, kHeadDim, kMaxWarps, kStorage>*>(shared_bytes);
  attend_to_item(plan, static_cast<int>(blockIdx.x), TokenArrays<T, kHeadDim>(), shared);
}

template <KvStorage kStorage>
void launch_decode(const DecodeLaunch& given, cudaStream_t stream) {
  const AttentionParams& p = given.plan.params.attention;
  dispatch_mma(p.dtype, p.head_dim, "attention_decode", [&]<typename T, int kHeadDim>() {
    using Counts = std::integer_sequence<int, kMostWarpsOfSmallBlock, kDecodeHeads>;
    const int max_warps = std::max(given.warps, kMostWarpsOfSmallBlock);
    dispatch_value(Counts(), max_warps, "attention_decode", "warps", [&]<int kMaxWarps>() {
      using Memory = DecodeMemory<T, kHeadDim, kMaxWarps, kStorage>;
      static_assert(Memory::bytes(kMaxWarps, kDecodeHeads) <= kMaxSharedBytes);
      launch(attention_decode_kernel<T, kHeadDim, kMaxWarps, kStorage>,
             {.grid = dim3(static_cast<unsigned>(given.blocks)),
              .block = dim3(32 * given.warps),
              .shared_bytes = Memory::bytes(given.warps, given.heads),
              .use_pdl = p.use_pdl},
             stream, given.plan);
    });
  });
}

}  // namespace quern::kernels
