#pragma once

#include "kernels/attention/attention.cuh"
#include "kernels/attention/decode/attention_decode.h"
#include "kernels/attention/decode/byte_fragment.cuh"
#include "kernels/attention/decode/row_fragment.cuh"
#include "kernels/attention/scaled_vector.cuh"
#include "kernels/common/load.cuh"
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

/// The new token's key and value as the cache stores them.
template <int kHeadDim, bool kScaled>
struct OwnNumbers {
  alignas(16) std::uint8_t key_numbers[kHeadDim];
  alignas(16) std::uint8_t value_numbers[kHeadDim];
  float key_scale;
  float value_scale;
};
template <int kHeadDim>
struct OwnNumbers<kHeadDim, false> {};

/// The new token in shared memory, aligned to 16 bytes. Query rows are padded against bank
/// conflicts.
template <typename T, int kHeadDim, KvStorage kStorage>
struct DecodeToken : OwnNumbers<kHeadDim, kStorage != KvStorage::unscaled> {
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
/// Numbers with scales are converted in registers. A key's scale multiplies its scores; a value's
/// its weights, before they are rounded, see ScaleFactor. A lane holds one scale of a tile: of slot
/// lane % 16, the key's in lanes 0-15 and the value's in the others.
template <typename T, int kHeadDim, KvStorage kStorage>
class DecodeWarp {
  using Traits = StorageTraits<kStorage>;
  using Token = DecodeToken<T, kHeadDim, kStorage>;

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

  /// Brings the slots after the first ones of attend() to L2.
  __device__ void prefetch(int row) const {
    constexpr int kLineBytes = 128;
    const bool of_key = threadIdx.x % 32 < kDecodeSlots;
    const auto* cache = static_cast<const std::byte*>(of_key ? p_.keys : p_.values);
    const auto bytes = static_cast<int>(kHeadDim * (of_key ? sizeof(Key) : sizeof(Value)));
    for (int at = 0; row >= 0 && at < bytes; at += kLineBytes) {
      prefetch_to_l2(cache + std::int64_t{row} * bytes + at);
    }
  }

  /// Attention over the slots from `first` on, `stride` apart. `head` is read from shared memory:
  /// registers are too scarce to keep it.
  __device__ void attend(const Token& token, const KvHead& head, int first, int stride) {
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
      TileScales scales;
      if constexpr (Traits::kScaledValues) scales = tile_scales(token, own);
      score(token, slot, end, scales, scores);
      load_keys(next_row);
      weigh(scores);
      if (has_own) place_own_value(token, own);
      if constexpr (Traits::kScaledValues) scale_weights(scales, scores);
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
  __device__ void store(int queries, int stride, float* sums, SoftmaxState* states) {
    if constexpr (Traits::kScaledValues) {
      const float unit = kNumberUnit<T, Traits::kStored> / scale_factor_.factor();
#pragma unroll
      for (auto& tile : sums_) {
#pragma unroll
        for (float& sum : tile) sum *= unit;
      }
    }
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
  using Key = std::conditional_t<Traits::kScaledKeys, std::uint8_t, T>;
  using Value = std::conditional_t<Traits::kScaledValues, std::uint8_t, T>;
  using Keys = std::conditional_t<Traits::kScaledKeys, ByteFragment<kHeadDim, 4>,
                                  RowFragment<T, kHeadDim, 4>>;
  using Values = std::conditional_t<Traits::kScaledValues, ByteFragment<kHeadDim, 8>,
                                    RowFragment<T, kHeadDim, 8>>;

  /// Scales of the slots row_ and row_ + 8 of a tile.
  struct TileScales {
    float keys[2];
    float values[2];
  };

  /// The slot within a tile of this thread's fragment element i.
  __device__ int key_slot(int i) const { return row_ + 8 * i; }
  __device__ int value_slot(int i) const { return 2 * quad_ + i % 2 + i / 2 * 8; }

  /// A slot's vector, if there is one. The address is valid in any case: with a null pointer
  /// instead, ptxas 13.0 hoisted some of the loads above the check.
  template <typename Stored>
  struct SlotVector {
    const Stored* data;
    bool exists;
  };

  /// Called by all lanes together.
  template <typename Stored>
  __device__ static SlotVector<Stored> slot_vector(const void* base, int row, int lane) {
    const int index = __shfl_sync(~0u, row, lane);
    return {static_cast<const Stored*>(base) + std::int64_t{max(index, 0)} * kHeadDim, index >= 0};
  }

  /// Loads the keys of a tile, and the scales of keys and values.
  __device__ void load_keys(int row) {
    if constexpr (Traits::kScaledValues) {
      const bool of_key = Traits::kScaledKeys && threadIdx.x % 32 < kDecodeSlots;
      const float* scales = of_key ? p_.key_scales : p_.value_scales;
      const float scale = __ldcg(scales + max(row, 0));  // valid in any case, see SlotVector
      scale_ = row >= 0 ? scale : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const auto key = slot_vector<Key>(p_.keys, row, key_slot(i));
      Keys::template load<FromL2>(key.data, quad_, key.exists, keys_[i]);
    }
  }

  __device__ void load_values(int row) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto value = slot_vector<Value>(p_.values, row, value_slot(i));
      Values::template load<FromL2>(value.data, row_, value.exists, values_[i]);
    }
  }

  __device__ static const Key* own_key(const Token& token) {
    if constexpr (Traits::kScaledKeys) {
      return token.key_numbers;
    } else {
      return token.key;
    }
  }
  __device__ static const Value* own_value(const Token& token) {
    if constexpr (Traits::kScaledValues) {
      return token.value_numbers;
    } else {
      return token.value;
    }
  }

  __device__ void place_own_key(const Token& token, int own) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (key_slot(i) != own) continue;
      Keys::template load<FromAnywhere>(own_key(token), quad_, true, keys_[i]);
    }
  }

  __device__ void place_own_value(const Token& token, int own) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (value_slot(i) != own) continue;
      Values::template load<FromAnywhere>(own_value(token), row_, true, values_[i]);
    }
  }

  /// The scales of the tile whose keys are loaded; `own` is the new token's slot in it.
  __device__ TileScales tile_scales(const Token& token, int own) const {
    TileScales scales;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const bool is_own = key_slot(i) == own;
      if constexpr (Traits::kScaledKeys) {
        const float scale = __shfl_sync(~0u, scale_, key_slot(i));
        scales.keys[i] = (is_own ? token.key_scale : scale) * kNumberUnit<T, Traits::kStored>;
      }
      const float scale = __shfl_sync(~0u, scale_, kDecodeSlots + key_slot(i));
      scales.values[i] = is_own ? token.value_scale : scale;
    }
    return scales;
  }

  /// Multiplies weights by the scales of their values.
  __device__ void scale_weights(const TileScales& scales, float (&weights)[4]) {
    float largest = fmaxf(scales.values[0], scales.values[1]);
    if (__any_sync(~0u, scale_factor_.is_exceeded_by(largest))) {
#pragma unroll
      for (int step = 4; step < 32; step *= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, step));
      }
      const float correction = scale_factor_.lower(largest);
#pragma unroll
      for (auto& tile : sums_) {
#pragma unroll
        for (float& sum : tile) sum *= correction;
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) weights[i] *= scales.values[i / 2] * scale_factor_.factor();
  }

  /// scores: of the slots row_ and row_ + 8 from `first` on, each under queries 2 quad_ and
  /// 2 quad_ + 1.
  __device__ void score(const Token& token, int first, int end, const TileScales& scales,
                        float (&scores)[4]) {
    float parts[2][4] = {};  // two accumulators, for independent MMAs
    if constexpr (Traits::kScaledKeys) {
      std::uint32_t queries[Keys::kPairs];
      Keys::load_pairs(token.queries[row_], quad_, queries);
#pragma unroll
      for (int word = 0; word < Keys::kWords; ++word) {
        constexpr DType kStored = Traits::kStored;
        const std::uint32_t a[4] = {
            number_pair<T, kStored, 0>(keys_[0][word]), number_pair<T, kStored, 0>(keys_[1][word]),
            number_pair<T, kStored, 1>(keys_[0][word]), number_pair<T, kStored, 1>(keys_[1][word])};
        const std::uint32_t b[2] = {queries[2 * word], queries[2 * word + 1]};
        mma_m16n8k16<T>(parts[word % 2], a, b);
      }
    } else {
      std::uint32_t queries[Keys::kWords];
      Keys::template load<FromAnywhere>(token.queries[row_], quad_, true, queries);
#pragma unroll
      for (int word = 0; word < Keys::kWords; word += 2) {
        const std::uint32_t a[4] = {keys_[0][word], keys_[1][word], keys_[0][word + 1],
                                    keys_[1][word + 1]};
        const std::uint32_t b[2] = {queries[word], queries[word + 1]};
        mma_m16n8k16<T>(parts[word / 2 % 2], a, b);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool visible = first + key_slot(i / 2) < end;
      float product = parts[0][i] + parts[1][i];
      if constexpr (Traits::kScaledKeys) product *= scales.keys[i / 2];
      scores[i] = visible ? score_of(p_, product) : kLowest;
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
      if constexpr (Traits::kScaledValues) {
        const int word = tile / 2;
        const int bytes = tile % 2 == 0 ? 0x5140 : 0x7362;  // two elements of two slots
        const std::uint32_t low = __byte_perm(values_[0][word], values_[1][word], bytes);
        const std::uint32_t high = __byte_perm(values_[2][word], values_[3][word], bytes);
        constexpr DType kStored = Traits::kStored;
        const std::uint32_t a[4] = {
            number_pair<T, kStored, 0>(low), number_pair<T, kStored, 1>(low),
            number_pair<T, kStored, 0>(high), number_pair<T, kStored, 1>(high)};
        mma_m16n8k16<T>(sums_[tile], a, b);
      } else {
        const std::uint32_t a[4] = {__byte_perm(values_[0][tile], values_[1][tile], 0x5410),
                                    __byte_perm(values_[0][tile], values_[1][tile], 0x7632),
                                    __byte_perm(values_[2][tile], values_[3][tile], 0x5410),
                                    __byte_perm(values_[2][tile], values_[3][tile], 0x7632)};
        mma_m16n8k16<T>(sums_[tile], a, b);
      }
    }
  }

  const AttentionParams& p_;
  int row_;   ///< of a fragment
  int quad_;  ///< column pair of a fragment
  std::uint32_t keys_[2][Keys::kWords];
  std::uint32_t values_[4][Values::kWords];
  SoftmaxState states_[2];
  float sums_[kHeadDim / 16][4];
  float scale_ = 0.0f;  ///< this lane's of the tile whose keys are loaded
  ScaleFactor scale_factor_;
};

}  // namespace quern::kernels
