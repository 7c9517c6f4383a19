#pragma once

#include "kernels/attention/decode/decode_kernel.cuh"
#include "kernels/persistent/flagged.cuh"
#include "kernels/persistent/persistent_step.h"
#include "kernels/persistent/step_role.cuh"

namespace quern::kernels {

/// The sequence of a step, in shared memory: the same for all of its attention.
struct StepSequence {
  AttentionSequence sequence;
  int position;
};

/// Run by the block, which synchronizes before it uses the sequence.
__device__ inline void read_sequence(const AttentionParams& p, StepSequence& sequence) {
  if (threadIdx.x != 0) return;
  sequence.sequence = decode_sequence_of(p, 0);
  sequence.position = p.state_position[sequence.sequence.state_row];
}

/// The new token of attention in a persistent step; see TokenArrays.
template <typename T, int kHeadDim>
struct FlaggedToken {
  const PersistentOp& op;
  std::uint32_t step;
  const StepSequence& known;
  T* vectors;  ///< [heads of the item + 2, kHeadDim] in shared memory

  __device__ AttentionSequence sequence(const AttentionParams&, int) const {
    return known.sequence;
  }
  __device__ int position(const AttentionParams&, const AttentionSequence&) const {
    return known.position;
  }

  /// Brings the item's queries, key and value to shared memory.
  __device__ void wait(const AttentionParams& p, const HeadGroup& heads) const {
    constexpr int kGroups = kHeadDim / 4;
    for (int i = static_cast<int>(threadIdx.x); i < (heads.count + 2) * kGroups;
         i += static_cast<int>(blockDim.x)) {
      const int index = i / kGroups;
      const int kind = index - heads.count;
      const int head =
          kind < 0 ? heads.first_head + index : p.num_heads + kind * p.num_kv_heads + heads.kv_head;
      const FlaggedPair* from = op.in + (head * kHeadDim + i % kGroups * 4) / 2;
      reinterpret_cast<uint2*>(vectors)[i] = wait_for_flags(load_flagged(from), from, step);
    }
    sync();
  }

  __device__ void sync() const { sync_role(); }

  __device__ const T* vector(const AttentionParams&, int, const HeadGroup&, int index) const {
    return vectors + index * kHeadDim;
  }

  __device__ void store(const AttentionParams&, int, const HeadGroup& heads, int i,
                        float value) const {
    const float next = __shfl_down_sync(~0u, value, 1);
    if (i % 2 == 0) store_flagged(pair(heads, i), pack<T>(value, next), step);
  }

  __device__ void store_4(const AttentionParams&, int, const HeadGroup& heads, int i,
                          const float4& values) const {
    store_flagged(pair(heads, i), pack<T>(values.x, values.y), pack<T>(values.z, values.w), step);
  }

 private:
  __device__ FlaggedPair* pair(const HeadGroup& heads, int i) const {
    return op.out + (heads.first_head * kHeadDim + i) / 2;
  }
};

template <typename T, int kHeadDim>
using StepAttentionMemory = DecodeMemory<T, kHeadDim, kDecodeHeads, KvStorage::unscaled>;

/// The new token's vectors, before the StepAttentionMemory.
template <typename T, int kHeadDim>
struct alignas(16) TokenVectors {
  T elements[(kDecodeHeads + 2) * kHeadDim];
};

/// Bytes of shared memory of attention to items of `heads` heads.
template <typename T, int kHeadDim>
constexpr std::size_t step_attention_bytes(int heads) {
  return sizeof(TokenVectors<T, kHeadDim>) +
         StepAttentionMemory<T, kHeadDim>::bytes(kDecodeHeads, heads);
}

/// The block's items of attention; `blocks` have some. `shared`:
/// step_attention_bytes().
template <typename T, int kHeadDim>
__device__ void attend_to_items(const PersistentOp& op, std::uint32_t step,
                                const StepSequence& sequence, int blocks, uint4* shared) {
  auto* vectors = reinterpret_cast<TokenVectors<T, kHeadDim>*>(shared);
  auto& memory = *reinterpret_cast<StepAttentionMemory<T, kHeadDim>*>(vectors + 1);
  const FlaggedToken<T, kHeadDim> token{op, step, sequence, vectors->elements};
#pragma unroll 1
  for (int item = static_cast<int>(blockIdx.x); item < op.num_items; item += blocks) {
    attend_to_item(op.attention, item, token, memory);
    token.sync();  // the memory is used again
  }
}

}  // namespace quern::kernels
