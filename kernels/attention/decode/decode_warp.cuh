#pragma once

#include "kernels/attention/attention.cuh"
#include "kernels/attention/decode/attention_decode.h"
#include "kernels/attention/decode/row_fragment.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {

/// Slots that a warp processes at a time.
inline constexpr int kDecodeSlots = 16;

/// Slots of one kv head of a sequence's cache.
struct KvHead {
  int state_row = 0;
  int kv_head = 0;
  int own_slot = 0;  ///< whose key and value are not in the cache yet
  int begin = 0;     ///< of the block's slots
  int end = 0;
  int cached_end = 0;  ///< of those that are in the cache
};

/// The new token in shared memory, aligned to 16 bytes. Query rows are padded against bank
/// conflicts.
template <typename T, int kHeadDim>
struct DecodeToken {
  static constexpr int kStride = kHeadDim + 32;
  alignas(16) T queries[kDecodeHeads][kStride];
  alignas(16) T key[kHeadDim];
  alignas(16) T value[kHeadDim];
};

/// Decode attention by one warp: eight queries over its slots, on tensor cores. Keys and values are
/// loaded from global memory straight into MMA fragments, 16 bytes at a time:
///   scores [slots, queries] = K · qᵀ, where the order of a head's elements within K and q does not
///   matter as long as it is the same: a thread takes consecutive ones;
///   sums [elements, queries] = Vᵀ · P, where the order of the elements decides only which thread
///   holds which: again consecutive ones, and two slots are interleaved to a fragment in registers.
/// In both results a thread's columns are the same two queries, so that rescaling needs no
/// exchange. Loads of the next slots' keys are issued once the scores are computed, those of their
/// values once the sums are.
template <typename T, int kHeadDim>
class DecodeWarp {
 public:
  __device__ explicit DecodeWarp(const AttentionParams& p)
      : p_(p), row_(threadIdx.x % 32 / 4), quad_(threadIdx.x % 4) {}

  /// The cache row of this lane's slot, counted from `first`, or -1 where there is none.
  __device__ int find_row(const KvHead& head, int first) const {
    const int slot = first + static_cast<int>(threadIdx.x % kDecodeSlots);
    return slot < head.cached_end ? slot_row(p_, head.state_row, head.kv_head, slot) : -1;
  }

  /// Issues the loads of the first slots of attend().
  __device__ void load(int row) {
    load_keys(row);
    load_values(row);
  }

  /// Attention over the slots from `first` on, `stride` apart. `head` is read from shared memory:
  /// registers are too scarce to keep it.
  __device__ void attend(const DecodeToken<T, kHeadDim>& token, const KvHead& head, int first,
                         int stride) {
    const int end = head.end;
    states_[0] = states_[1] = SoftmaxState::none();
#pragma unroll
    for (auto& tile : sums_) tile[0] = tile[1] = tile[2] = tile[3] = 0.0f;
    int next_row = find_row(head, first + stride);
    for (int slot = first; slot < end; slot += stride) {
      const int own = head.own_slot - slot;
      const bool has_own = 0 <= own && own < kDecodeSlots;
      if (has_own) place_own_key(token, own);
      float scores[4];
      score(token, slot, end, scores);
      load_keys(next_row);
      weigh(scores);
      if (has_own) place_own_value(token, own);
      add_values(scores);
      if constexpr (kLoadsValuesFirst) load_values(next_row);
      asm volatile("" ::: "memory");  // forces `head` to be read again
      const int row_after_next = find_row(head, slot + 2 * stride);
      if constexpr (!kLoadsValuesFirst) load_values(next_row);
      next_row = row_after_next;
    }
#pragma unroll
    for (SoftmaxState& state : states_) {
#pragma unroll
      for (int step = 4; step < 32; step *= 2) {
        state.sum += __shfl_xor_sync(~0u, state.sum, step);
      }
    }
  }

  /// Writes the first `queries` rows of sums, `stride` apart, and their states.
  __device__ void store(int queries, int stride, float* sums, SoftmaxState* states) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int query = 2 * quad_ + i;
      if (query >= queries) continue;
#pragma unroll
      for (int tile = 0; tile < kHeadDim / 16; ++tile) {
        float* at = sums + query * stride + Values::element(row_, tile);
        at[0] = sums_[tile][i];
        at[1] = sums_[tile][i + 2];
      }
      if (row_ == 0) states[query] = states_[i];
    }
  }

 private:
  /// Whether the block table is read for the slots after next: earlier is better, but only small
  /// heads leave registers for it.
  static constexpr bool kLoadsValuesFirst = kHeadDim <= 64;
  using Keys = RowFragment<T, kHeadDim, 4>;
  using Values = RowFragment<T, kHeadDim, 8>;

  /// The slot within a tile of this thread's fragment element i.
  __device__ int key_slot(int i) const { return row_ + 8 * i; }
  __device__ int value_slot(int i) const { return 2 * quad_ + i % 2 + i / 2 * 8; }

  /// A slot's vector, if there is one. The address is valid in any case: with a null pointer
  /// instead, ptxas 13.0 hoisted some of the loads above the check.
  struct SlotVector {
    const T* data;
    bool exists;
  };

  /// Called by all lanes together.
  __device__ static SlotVector slot_vector(const void* base, int row, int lane) {
    const int index = __shfl_sync(~0u, row, lane);
    return {static_cast<const T*>(base) + std::int64_t{max(index, 0)} * kHeadDim, index >= 0};
  }

  __device__ void load_keys(int row) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const SlotVector key = slot_vector(p_.keys, row, key_slot(i));
      Keys::template load<FromL2>(key.data, quad_, key.exists, keys_[i]);
    }
  }

  __device__ void load_values(int row) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const SlotVector value = slot_vector(p_.values, row, value_slot(i));
      Values::template load<FromL2>(value.data, row_, value.exists, values_[i]);
    }
  }

  __device__ void place_own_key(const DecodeToken<T, kHeadDim>& token, int own) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (key_slot(i) != own) continue;
      Keys::template load<FromAnywhere>(token.key, quad_, true, keys_[i]);
    }
  }

  __device__ void place_own_value(const DecodeToken<T, kHeadDim>& token, int own) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (value_slot(i) != own) continue;
      Values::template load<FromAnywhere>(token.value, row_, true, values_[i]);
    }
  }

  /// scores: of the slots row_ and row_ + 8 from `first` on, each under queries 2 quad_ and
  /// 2 quad_ + 1.
  __device__ void score(const DecodeToken<T, kHeadDim>& token, int first, int end,
                        float (&scores)[4]) {
    std::uint32_t queries[Keys::kWords];
    Keys::template load<FromAnywhere>(token.queries[row_], quad_, true, queries);
    float parts[2][4] = {};  // two accumulators, for independent MMAs
#pragma unroll
    for (int word = 0; word < Keys::kWords; word += 2) {
      const std::uint32_t a[4] = {keys_[0][word], keys_[1][word], keys_[0][word + 1],
                                  keys_[1][word + 1]};
      const std::uint32_t b[2] = {queries[word], queries[word + 1]};
      mma_m16n8k16<T>(parts[word / 2 % 2], a, b);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool visible = first + key_slot(i / 2) < end;
      scores[i] = visible ? score_of(p_, parts[0][i] + parts[1][i]) : kLowest;
    }
  }

  /// Turns scores into softmax weights relative to the new maximum, and rescales the sums.
  __device__ void weigh(float (&scores)[4]) {
#pragma unroll
    for (int query = 0; query < 2; ++query) {
      float largest = fmaxf(scores[query], scores[query + 2]);
#pragma unroll
      for (int step = 4; step < 32; step *= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, step));
      }
      const float correction = states_[query].raise(SoftmaxState::exponent_of(largest));
#pragma unroll
      for (auto& tile : sums_) {
        tile[query] *= correction;
        tile[query + 2] *= correction;
      }
#pragma unroll
      for (int i = query; i < 4; i += 2) {
        scores[i] = states_[query].weight(scores[i]);
        states_[query].sum += scores[i];
      }
    }
  }

  __device__ void add_values(const float (&weights)[4]) {
    // [slot, query] as the scores are laid out, [query, slot] as the MMA needs it.
    const std::uint32_t b[2] = {transpose_8x8(pack<T>(weights[0], weights[1])),
                                transpose_8x8(pack<T>(weights[2], weights[3]))};
#pragma unroll
    for (int tile = 0; tile < kHeadDim / 16; ++tile) {
      const std::uint32_t a[4] = {__byte_perm(values_[0][tile], values_[1][tile], 0x5410),
                                  __byte_perm(values_[0][tile], values_[1][tile], 0x7632),
                                  __byte_perm(values_[2][tile], values_[3][tile], 0x5410),
                                  __byte_perm(values_[2][tile], values_[3][tile], 0x7632)};
      mma_m16n8k16<T>(sums_[tile], a, b);
    }
  }

  const AttentionParams& p_;
  int row_;   ///< of a fragment
  int quad_;  ///< column pair of a fragment
  std::uint32_t keys_[2][Keys::kWords];
  std::uint32_t values_[4][Values::kWords];
  SoftmaxState states_[2];
  float sums_[kHeadDim / 16][4];
};

}  // namespace quern::kernels
