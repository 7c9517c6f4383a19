#pragma once

#include "kernels/common/attention.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/row_part.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {

struct SlotRange {
  int begin = 0;
  int end = 0;
};

/// One kv head of a sequence's cache.
struct KvHead {
  int state_row = 0;
  int kv_head = 0;
};

/// A warp's share of decode attention: eight queries over slots, on tensor cores. Keys and values
/// go from memory to registers in the fragments' layout, 16 bytes at a time and without a detour
/// through shared memory:
///   scores [slots, queries] = K · qᵀ, where the order of a head's elements within K and q does not
///   matter as long as it is the same: a thread takes consecutive ones;
///   sums [elements, queries] = Vᵀ · P, where the order of the elements decides only which thread
///   holds which: again consecutive ones, and two slots are interleaved to a fragment in registers.
/// In both results a thread's columns are the same two queries, so that rescaling needs no
/// exchange.
template <typename T, int kHeadDim>
class DecodeWarp {
 public:
  __device__ DecodeWarp() : row_(threadIdx.x % 32 / 4), quad_(threadIdx.x % 4) {}

  /// Finds the first slots that attend() will want and asks for their keys and values, while there
  /// is something else to wait for.
  __device__ void look_ahead(const AttentionParams& p, const KvHead& head, const SlotRange& range,
                             int warp) {
    next_row_ = find_row(p, head, {range.begin + warp * kSlots, range.end});
    if (next_row_ < 0) return;
    const std::int64_t at = std::int64_t{next_row_} * kHeadDim;
    for (int d = 0; d < kHeadDim; d += 64) {
      prefetch(static_cast<const T*>(p.keys) + at + d);
      prefetch(static_cast<const T*>(p.values) + at + d);
    }
  }

  /// `queries` [8, kHeadDim] in shared memory, aligned to 16 bytes.
  __device__ void load_queries(const T* queries) {
    Keys::load(queries + row_ * kHeadDim, quad_, true, queries_);
  }

  /// Attends to the range's slots that are this warp's of `warps`; look_ahead() has seen the range.
  /// Starts anew.
  __device__ void attend(const AttentionParams& p, const KvHead& head, const SlotRange& range,
                         int warp, int warps) {
    states_[0] = states_[1] = SoftmaxState::none();
#pragma unroll
    for (auto& tile : sums_) tile[0] = tile[1] = tile[2] = tile[3] = 0.0f;
    for (int slot = range.begin + warp * kSlots; slot < range.end; slot += warps * kSlots) {
      const int row = next_row_;
      next_row_ = find_row(p, head, {slot + warps * kSlots, range.end});
      attend_step(p, row, {slot, range.end});
    }
#pragma unroll
    for (SoftmaxState& state : states_) {
#pragma unroll
      for (int step = 4; step < 32; step *= 2) {
        state.sum += __shfl_xor_sync(~0u, state.sum, step);
      }
    }
  }

  /// Writes sums [8, kHeadDim] and states [8].
  __device__ void store(float* sums, SoftmaxState* states) const {
#pragma unroll
    for (int tile = 0; tile < kHeadDim / 16; ++tile) {
      const int element = Values::element(row_, tile);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[(2 * quad_ + i % 2) * kHeadDim + element + i / 2] = sums_[tile][i];
      }
    }
    if (row_ == 0) {
      states[2 * quad_] = states_[0];
      states[2 * quad_ + 1] = states_[1];
    }
  }

 private:
  using Keys = RowPart<T, kHeadDim, 4>;
  using Values = RowPart<T, kHeadDim, 8>;
  static constexpr int kTiles = kHeadDim <= 128 ? 2 : 1;  ///< of 16 slots in a step
  static constexpr int kSlots = 16 * kTiles;
  /// Values are asked for together with the keys where there are registers for both.
  static constexpr bool kLoadsTogether = kHeadDim <= 128;

  /// The row of the lane's slot of those that the range begins with, or -1 beyond the end.
  __device__ static int find_row(const AttentionParams& p, const KvHead& head,
                                 const SlotRange& range) {
    const int slot = range.begin + static_cast<int>(threadIdx.x % kSlots);
    return slot < range.end ? slot_row(p, head.state_row, head.kv_head, slot) : -1;
  }

  __device__ static void prefetch(const void* address) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
  }

  /// The address of a slot's vector, or null beyond the end. All lanes of the warp ask at once.
  __device__ static const T* slot_vector(const void* base, int row, int lane) {
    const int index = __shfl_sync(~0u, row, lane);
    return index < 0 ? nullptr : static_cast<const T*>(base) + std::int64_t{index} * kHeadDim;
  }

  __device__ void attend_step(const AttentionParams& p, int row, const SlotRange& range) {
    std::uint32_t keys[kTiles][2][Keys::kWords];
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const T* key = slot_vector(p.keys, row, 16 * tile + 8 * i + row_);
        Keys::load(key, quad_, key != nullptr, keys[tile][i]);
      }
    }
    std::uint32_t values[kTiles][4][Values::kWords];
    if (kLoadsTogether) load_values(p, row, values);
    float scores[kTiles][4];
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) score(p, range, tile, keys[tile], scores[tile]);
    weigh(scores);
    if (!kLoadsTogether) load_values(p, row, values);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) add_values(scores[tile], values[tile]);
  }

  __device__ void load_values(const AttentionParams& p, int row,
                              std::uint32_t (&values)[kTiles][4][Values::kWords]) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const T* value = slot_vector(p.values, row, 16 * tile + 2 * quad_ + i % 2 + i / 2 * 8);
        Values::load(value, row_, value != nullptr, values[tile][i]);
      }
    }
  }

  /// scores: of slots row_ and row_ + 8 of the tile, each under queries 2 quad_ and 2 quad_ + 1.
  __device__ void score(const AttentionParams& p, const SlotRange& range, int tile,
                        const std::uint32_t (&keys)[2][Keys::kWords], float (&scores)[4]) {
    scores[0] = scores[1] = scores[2] = scores[3] = 0.0f;
#pragma unroll
    for (int word = 0; word < Keys::kWords; word += 2) {
      const std::uint32_t a[4] = {keys[0][word], keys[1][word], keys[0][word + 1],
                                  keys[1][word + 1]};
      const std::uint32_t b[2] = {queries_[word], queries_[word + 1]};
      mma_m16n8k16<T>(scores, a, b);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool visible = range.begin + 16 * tile + row_ + i / 2 * 8 < range.end;
      scores[i] = visible ? score_of(p, scores[i]) : kLowest;
    }
  }

  /// Turns scores into weights relative to the new largest, and rescales the sums for it.
  __device__ void weigh(float (&scores)[kTiles][4]) {
#pragma unroll
    for (int query = 0; query < 2; ++query) {
      float largest = kLowest;
#pragma unroll
      for (auto& tile : scores) largest = fmaxf(largest, fmaxf(tile[query], tile[query + 2]));
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
      for (auto& tile : scores) {
#pragma unroll
        for (int i = query; i < 4; i += 2) {
          tile[i] = states_[query].weight(tile[i]);
          states_[query].sum += tile[i];
        }
      }
    }
  }

  __device__ void add_values(const float (&weights)[4],
                             const std::uint32_t (&values)[4][Values::kWords]) {
    // [slot, query] as the scores lie, [query, slot] as the product wants it.
    const std::uint32_t b[2] = {transpose_8x8(pack<T>(weights[0], weights[1])),
                                transpose_8x8(pack<T>(weights[2], weights[3]))};
#pragma unroll
    for (int tile = 0; tile < kHeadDim / 16; ++tile) {
      const std::uint32_t a[4] = {__byte_perm(values[0][tile], values[1][tile], 0x5410),
                                  __byte_perm(values[0][tile], values[1][tile], 0x7632),
                                  __byte_perm(values[2][tile], values[3][tile], 0x5410),
                                  __byte_perm(values[2][tile], values[3][tile], 0x7632)};
      mma_m16n8k16<T>(sums_[tile], a, b);
    }
  }

  int row_;       ///< of a fragment
  int quad_;      ///< column pair of a fragment
  int next_row_;  ///< what find_row() says of the next step
  std::uint32_t queries_[Keys::kWords];
  SoftmaxState states_[2];
  float sums_[kHeadDim / 16][4];
};

}  // namespace quern::kernels
