#pragma once

#include "kernels/common/async_copy.cuh"
#include "kernels/common/attention.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/mma.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {

/// One block of prefill attention: 64 rows of a QueryTile, 16 a warp, over tiles of slots. While
/// the scores of a tile are computed its values are on their way, and while the values are summed
/// the next tile's keys.
template <typename T, int kHeadDim>
class PrefillTile {
 public:
  static constexpr int kRows = 64;
  static constexpr int kThreads = 128;
  static constexpr int kSlots = kHeadDim <= 128 ? 64 : 32;
  /// Rows in shared memory are 16 bytes longer than a head, so that eight of them under each other
  /// lie in different banks.
  static constexpr int kStride = kHeadDim + 8;

  struct SharedMemory {
    T queries[kRows][kStride];
    T keys[kSlots][kStride];
    T values[kSlots][kStride];
    int slot_rows[2][kSlots];  ///< of this tile of slots and of the next; -1 beyond the end
  };
  static_assert(sizeof(SharedMemory) <= kMaxSharedBytes);

  __device__ PrefillTile(const AttentionParams& p, const QueryTile& tile, int kv_head,
                         SharedMemory& shared)
      : p_(p),
        tile_(tile),
        kv_head_(kv_head),
        group_(p.num_heads / p.num_kv_heads),
        shared_(shared),
        warp_(threadIdx.x / 32),
        row_(threadIdx.x % 32 / 4),
        quad_(threadIdx.x % 4) {
    const int past = tile.sequence.kv_len - tile.sequence.q_len;
    first_own_ = past + tile.first / group_;
    last_own_ = past + (tile.first + tile.count - 1) / group_;
    for (int i = 0; i < 2; ++i) own_[i] = past + (tile.first + clamped_row(i)) / group_;
    // Tiles begin at multiples of their size, so that sums do not depend on how a prompt was cut.
    begin_ = first_visible(p, first_own_) / kSlots * kSlots;
    states_[0] = states_[1] = SoftmaxState::none();
    for (auto& sums : sums_) sums[0] = sums[1] = sums[2] = sums[3] = 0.0f;
  }

  __device__ void run() {
    find_slot_rows(begin_, 0);
    load_queries();
    __syncthreads();
    load_slots(p_.keys, 0, shared_.keys);
    int parity = 0;
    for (int begin = begin_; begin <= last_own_; begin += kSlots, parity ^= 1) {
      wait_for_copies();
      __syncthreads();  // the keys are there, and the values of the last tile no longer needed
      load_slots(p_.values, parity, shared_.values);
      find_slot_rows(begin + kSlots, parity ^ 1);
      float scores[kSlots / 8][4];
      multiply_keys(scores);
      const bool partial = !all_visible(begin);
      if (partial) mask(begin, scores);
      weigh(scores);

      wait_for_copies();
      const bool broken = partial && has_nonfinite_values();
      const bool any_broken = __syncthreads_or(broken);
      if (begin + kSlots <= last_own_) load_slots(p_.keys, parity ^ 1, shared_.keys);
      if (any_broken) take_out_nonfinite_values(begin);
      add_values(scores);
    }
    store();
  }

 private:
  static constexpr int kChunks = kHeadDim / 8;  ///< 16 bytes each

  /// The tile's row that a thread's fragments hold in place i, or the last one.
  __device__ int clamped_row(int i) const {
    return min(16 * warp_ + row_ + 8 * i, tile_.count - 1);
  }

  __device__ bool all_visible(int begin) const {
    return begin + kSlots - 1 <= first_own_ && begin >= first_visible(p_, last_own_);
  }

  __device__ bool is_visible(int slot, int i) const {
    return slot <= own_[i] && slot >= first_visible(p_, own_[i]);
  }

  __device__ void find_slot_rows(int begin, int parity) {
    for (int i = threadIdx.x; i < kSlots; i += kThreads) {
      const bool exists = begin + i <= last_own_;
      shared_.slot_rows[parity][i] =
          exists ? slot_row(p_, tile_.sequence.state_row, kv_head_, begin + i) : -1;
    }
  }

  __device__ void load_queries() {
    const T* queries = static_cast<const T*>(p_.queries);
    for (int i = threadIdx.x; i < kRows * kChunks; i += kThreads) {
      const int row = i / kChunks;
      const int token = (tile_.first + row) / group_;
      const int head = kv_head_ * group_ + (tile_.first + row) % group_;
      const bool exists = row < tile_.count;
      const std::int64_t vector =
          exists ? std::int64_t{tile_.sequence.first_row + token} * p_.num_heads + head : 0;
      copy_16_bytes_async(&shared_.queries[row][i % kChunks * 8],
                          queries + vector * kHeadDim + i % kChunks * 8, exists);
    }
  }

  __device__ void load_slots(const void* cache, int parity, T (*destination)[kStride]) {
    for (int i = threadIdx.x; i < kSlots * kChunks; i += kThreads) {
      const int row = shared_.slot_rows[parity][i / kChunks];
      const T* source = static_cast<const T*>(cache) + std::int64_t{max(row, 0)} * kHeadDim;
      copy_16_bytes_async(&destination[i / kChunks][i % kChunks * 8], source + i % kChunks * 8,
                          row >= 0);
    }
  }

  /// scores[j]: rows row_ and row_ + 8 of the warp, slots 8 j + 2 quad_ and the next.
  __device__ void multiply_keys(float (&scores)[kSlots / 8][4]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (auto& tile : scores) tile[0] = tile[1] = tile[2] = tile[3] = 0.0f;
#pragma unroll
    for (int k = 0; k < kHeadDim; k += 16) {
      std::uint32_t a[4];
      load_matrices(&shared_.queries[16 * warp_ + lane % 16][k + lane / 16 * 8], a);
#pragma unroll
      for (int j = 0; j < kSlots / 8; j += 2) {
        std::uint32_t b[4];
        load_matrices(&shared_.keys[8 * j + lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * 8], b);
        mma_m16n8k16<T>(scores[j], a, {b[0], b[1]});
        mma_m16n8k16<T>(scores[j + 1], a, {b[2], b[3]});
      }
    }
#pragma unroll
    for (auto& tile : scores) {
#pragma unroll
      for (float& score : tile) score = score_of(p_, score);
    }
  }

  __device__ void mask(int begin, float (&scores)[kSlots / 8][4]) const {
#pragma unroll
    for (int j = 0; j < kSlots / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (!is_visible(begin + 8 * j + 2 * quad_ + i % 2, i / 2)) scores[j][i] = kLowest;
      }
    }
  }

  /// Turns scores into weights relative to the new largest, and rescales the sums for it.
  __device__ void weigh(float (&scores)[kSlots / 8][4]) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float largest = kLowest;
#pragma unroll
      for (auto& tile : scores) {
        largest = fmaxf(largest, fmaxf(tile[2 * row], tile[2 * row + 1]));
      }
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
      const float correction = states_[row].raise(SoftmaxState::exponent_of(largest));
#pragma unroll
      for (auto& sums : sums_) {
        sums[2 * row] *= correction;
        sums[2 * row + 1] *= correction;
      }
#pragma unroll
      for (auto& tile : scores) {
#pragma unroll
        for (int i = 2 * row; i < 2 * row + 2; ++i) {
          tile[i] = states_[row].weight(tile[i]);
          states_[row].sum += tile[i];
        }
      }
    }
  }

  __device__ void add_values(const float (&weights)[kSlots / 8][4]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < kSlots / 8; j += 2) {
      const std::uint32_t a[4] = {pack<T>(weights[j][0], weights[j][1]),
                                  pack<T>(weights[j][2], weights[j][3]),
                                  pack<T>(weights[j + 1][0], weights[j + 1][1]),
                                  pack<T>(weights[j + 1][2], weights[j + 1][3])};
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; n += 2) {
        std::uint32_t b[4];
        load_matrices_transposed(&shared_.values[8 * j + lane % 16][8 * n + lane / 16 * 8], b);
        mma_m16n8k16<T>(sums_[n], a, {b[0], b[1]});
        mma_m16n8k16<T>(sums_[n + 1], a, {b[2], b[3]});
      }
    }
  }

  // What a row must not see has no part in its sums, not even as zero times infinity: values that
  // are not finite are added one by one to the rows that see them, and replaced by zeros.

  __device__ static bool is_finite(T value) { return isfinite(to_float(value)); }

  /// Whether there is one among those that this thread has copied.
  __device__ bool has_nonfinite_values() const {
    bool found = false;
    for (int i = threadIdx.x; i < kSlots * kChunks; i += kThreads) {
      const T* chunk = &shared_.values[i / kChunks][i % kChunks * 8];
#pragma unroll
      for (int k = 0; k < 8; ++k) found |= !is_finite(chunk[k]);
    }
    return found;
  }

  __device__ void take_out_nonfinite_values(int begin) {
    for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const T value = shared_.values[slot][8 * n + 2 * quad_ + i % 2];
          if (!is_finite(value) && is_visible(begin + slot, i / 2)) sums_[n][i] += to_float(value);
        }
      }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < kSlots * kHeadDim; i += kThreads) {
      T& value = shared_.values[i / kHeadDim][i % kHeadDim];
      if (!is_finite(value)) value = T(0.0f);
    }
    __syncthreads();
  }

  __device__ void store() {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float sum = states_[i].sum;
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      const int row = 16 * warp_ + row_ + 8 * i;
      if (row >= tile_.count) continue;
      T* out = tile_row<T>(p_, tile_, kv_head_, row);
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
        *reinterpret_cast<std::uint32_t*>(out + 8 * n + 2 * quad_) =
            pack<T>(sums_[n][2 * i] / sum, sums_[n][2 * i + 1] / sum);
      }
    }
  }

  const AttentionParams& p_;
  const QueryTile& tile_;
  int kv_head_;
  int group_;
  SharedMemory& shared_;
  int warp_;
  int row_;        ///< of a fragment
  int quad_;       ///< column pair of a fragment
  int first_own_;  ///< the slot of the tile's first token
  int last_own_;   ///< of its last
  int own_[2];     ///< of the rows that this thread's fragments hold
  int begin_;      ///< where the tiles of slots begin
  SoftmaxState states_[2];
  float sums_[kHeadDim / 8][4];
};

}  // namespace quern::kernels
