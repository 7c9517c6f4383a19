#pragma once

#include "kernels/attention/attention.cuh"
#include "kernels/attention/decode/attention_decode.h"
#include "kernels/attention/decode/decode_launch.h"
#include "kernels/attention/decode/decode_warp.cuh"
#include "kernels/attention/rope.cuh"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/load.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {

// A block of attention_decode().

/// KV splits of a sequence's visible slots, one per block.
struct Splits {
  int count = 0;
  int slots = 0;  ///< of each split but the last
};

__host__ __device__ inline Splits split(std::int64_t slots, int max_splits) {
  const std::int64_t units = (slots + kMinSplitSlots - 1) / kMinSplitSlots;
  const std::int64_t units_per_part = (units + max_splits - 1) / max_splits;
  return {static_cast<int>((units + units_per_part - 1) / units_per_part),
          static_cast<int>(units_per_part) * kMinSplitSlots};
}

/// Blocks per kv head of a sequence: its query heads in groups of eight.
__host__ __device__ inline int head_chunks(int num_heads, int num_kv_heads) {
  return (num_heads / num_kv_heads + kDecodeHeads - 1) / kDecodeHeads;
}

/// The row and split of a work item: up to eight query heads of a kv head of a sequence.
struct HeadGroup {
  int split = 0;
  int seq = 0;
  int kv_head = 0;
  int first_head = 0;
  int count = 0;
};

__device__ inline HeadGroup head_group(const DecodePlan& plan, int item) {
  const AttentionParams& p = plan.params.attention;
  const int chunks = head_chunks(p.num_heads, p.num_kv_heads);
  const int group = p.num_heads / p.num_kv_heads;
  HeadGroup heads;
  heads.split = item % plan.splits;
  const int row = item / plan.splits % plan.rows;
  heads.seq = item / (plan.splits * plan.rows);
  heads.kv_head = row / chunks;
  const int first = row % chunks * kDecodeHeads;
  heads.first_head = heads.kv_head * group + first;
  heads.count = min(kDecodeHeads, group - first);
  return heads;
}

/// Work description, in shared memory since registers are scarce.
struct DecodeWork {
  HeadGroup heads;
  Splits splits;
  KvHead kv_head;
  int first_row = 0;
};

/// A kernel is compiled for blocks of kMaxWarps = kDecodeHeads warps, and once more for all smaller
/// blocks, of 1 to kMaxWarps = kMostWarpsOfSmallBlock: a source of kernels takes half as long to
/// compile as with one for each number.
inline constexpr int kMostWarpsOfSmallBlock = kDecodeHeads / 2;

template <int kMaxWarps>
__device__ int num_warps() {
  if constexpr (kMaxWarps == kDecodeHeads) {
    return kDecodeHeads;
  } else {
    return static_cast<int>(blockDim.x) / 32;
  }
}

/// Whether rows may be split along KV: blocks have this many warps only where rows are few.
template <int kMaxWarps>
inline constexpr bool kSplitsKv = kMaxWarps == kDecodeHeads;

/// Shared memory of a block, followed by sums [warps, heads of the block, kSumsStride].
template <typename T, int kHeadDim, int kMaxWarpsOfBlock, KvStorage kStorage>
struct DecodeMemory {
  static constexpr int kMaxWarps = kMaxWarpsOfBlock;
  /// Odd, so that the heads' sums lie in different banks.
  static constexpr int kSumsStride = kHeadDim + 1;
  DecodeToken<T, kHeadDim, kStorage> token;
  DecodeWork work;
  float2 rotation[kMaxRopePairs];
  SoftmaxState states[kMaxWarps][kDecodeHeads];

  __device__ float* sums() { return reinterpret_cast<float*>(this + 1); }
  __device__ float* sums(int warp, int heads) { return sums() + warp * heads * kSumsStride; }

  static constexpr std::size_t bytes(int warps, int heads) {
    return sizeof(DecodeMemory) + sizeof(float) * warps * heads * kSumsStride;
  }
};

/// Work that does not need the query: rope angles, and zeros for the query rows that the block
/// lacks.
template <typename T, int kHeadDim, int kMaxWarps, KvStorage kStorage>
__device__ void prepare_token(const AttentionParams& p, const AttentionSequence& s, int position,
                              int heads, DecodeMemory<T, kHeadDim, kMaxWarps, kStorage>& shared) {
  if (p.rope.num_pairs > 0) {
    fill_rotation(p.rope, alpha_of(p.rope, p.rope_alpha[s.state_row], s.kv_len), position,
                  shared.rotation);
  }
  const int warps = num_warps<kMaxWarps>();
  for (int head = heads + static_cast<int>(threadIdx.x) / 32; head < kDecodeHeads; head += warps) {
    for (int d = threadIdx.x % 32; d < kHeadDim; d += 32) {
      shared.token.queries[head][d] = T(0.0f);
    }
  }
}

/// Where a kernel of its own finds the new token and puts its results: in the arrays of the params.
template <typename T, int kHeadDim>
struct TokenArrays {
  __device__ AttentionSequence sequence(const AttentionParams& p, int seq) const {
    return decode_sequence_of(p, seq);
  }
  __device__ int position(const AttentionParams& p, const AttentionSequence& s) const {
    return p.state_position[s.state_row];
  }
  __device__ void wait(const AttentionParams&, const HeadGroup&) const {
    wait_for_earlier_kernels();
  }
  /// A barrier of the threads that attend.
  __device__ void sync() const { __syncthreads(); }
  /// The query of a head of the item; then its key and its value.
  __device__ const T* vector(const AttentionParams& p, int row, const HeadGroup& heads,
                             int index) const {
    if (index < heads.count) return qkv_head<T>(p, row, heads.first_head + index);
    const int kind = index - heads.count;
    return qkv_head<T>(p, row, p.num_heads + kind * p.num_kv_heads + heads.kv_head);
  }
  /// Element `i` of the item's heads. A warp's lanes have consecutive ones.
  __device__ void store(const AttentionParams& p, int row, const HeadGroup& heads, int i,
                        float value) const {
    out(p, row, heads)[i] = from_float<T>(value);
  }
  /// Four elements from `i` on.
  __device__ void store_4(const AttentionParams& p, int row, const HeadGroup& heads, int i,
                          const float4& values) const {
    kernels::store_4<T>(out(p, row, heads) + i, values);
  }

 private:
  __device__ static T* out(const AttentionParams& p, int row, const HeadGroup& heads) {
    return static_cast<T*>(p.out) + (std::int64_t{row} * p.num_heads + heads.first_head) * kHeadDim;
  }
};

/// Loads queries, key and value of the new token to shared memory, one per warp, and quantizes the
/// latter two where the cache has scales.
template <typename T, int kHeadDim, int kMaxWarps, KvStorage kStorage, typename Token>
__device__ void load_token(const AttentionParams& p, int row, const HeadGroup& heads, int position,
                           const Token& token,
                           DecodeMemory<T, kHeadDim, kMaxWarps, kStorage>& shared) {
  using Traits = StorageTraits<kStorage>;
  const auto load = [&](int vector) {
    if (vector < heads.count) {
      prepare_head(p, token.vector(p, row, heads, vector), p.q_norm, shared.rotation,
                   logn_scale(p, position), shared.token.queries[vector]);
    } else if (vector == heads.count) {
      prepare_head(p, token.vector(p, row, heads, vector), p.k_norm, shared.rotation, 1.0f,
                   shared.token.key);
      if constexpr (Traits::kScaledKeys) {
        __syncwarp();
        shared.token.key_scale =
            quantize_vector(Traits::kStored, shared.token.key, kHeadDim, shared.token.key_numbers);
      }
    } else {
      const T* value = token.vector(p, row, heads, vector);
      for (int d = threadIdx.x % 32; d < kHeadDim; d += 32) shared.token.value[d] = value[d];
      if constexpr (Traits::kScaledValues) {
        __syncwarp();
        shared.token.value_scale = quantize_vector(Traits::kStored, shared.token.value, kHeadDim,
                                                   shared.token.value_numbers);
      }
    }
  };
  const int warp = threadIdx.x / 32;
  if constexpr (kMaxWarps == kDecodeHeads) {  // a loop would cost registers
    if (warp < heads.count) load(warp);
    if (warp == heads.count % kMaxWarps) load(heads.count);
    if (warp == (heads.count + 1) % kMaxWarps) load(heads.count + 1);
  } else {
    for (int vector = warp; vector < heads.count + 2; vector += num_warps<kMaxWarps>()) {
      load(vector);
    }
  }
}

/// Puts the new token into the cache, by one warp. Blocks of further query heads of the same kv
/// head write the same bytes there.
template <typename T, int kHeadDim, KvStorage kStorage>
__device__ void append_token(const AttentionParams& p, const KvHead& head,
                             const DecodeToken<T, kHeadDim, kStorage>& token) {
  using Traits = StorageTraits<kStorage>;
  const int slot = slot_row(p, head.state_row, head.kv_head, head.own_slot);
  if constexpr (kStorage == KvStorage::unscaled) {
    constexpr int kChunks = kHeadDim / 8;
    const std::int64_t at = std::int64_t{slot} * kHeadDim;
    for (int i = threadIdx.x % 32; i < 2 * kChunks; i += 32) {
      const T* from = i < kChunks ? token.key : token.value;
      T* to = static_cast<T*>(i < kChunks ? p.keys : p.values) + at;
      reinterpret_cast<uint4*>(to)[i % kChunks] = reinterpret_cast<const uint4*>(from)[i % kChunks];
    }
  } else {
    const int lane = threadIdx.x % 32;
    const auto copy = [&](const void* vector, void* cache, int chunks) {
      auto* to = static_cast<uint4*>(cache) + std::int64_t{slot} * chunks;
      for (int i = lane; i < chunks; i += 32) to[i] = static_cast<const uint4*>(vector)[i];
    };
    if constexpr (Traits::kScaledKeys) {
      copy(token.key_numbers, p.keys, kHeadDim / 16);
      if (lane == 0) p.key_scales[slot] = token.key_scale;
    } else {
      copy(token.key, p.keys, kHeadDim / 8);
    }
    copy(token.value_numbers, p.values, kHeadDim / 16);
    if (lane == 0) p.value_scales[slot] = token.value_scale;
  }
}

}  // namespace quern::kernels
