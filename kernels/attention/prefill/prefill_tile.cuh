#pragma once

#include "kernels/attention/attention.cuh"
#include "kernels/attention/slot_range.cuh"
#include "kernels/common/async_copy.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/mma.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {

/// One block of prefill attention: rows of a QueryTile over tiles of slots. While the scores of a
/// tile are computed its values are on their way, and while the values are summed the next tile's
/// keys. A warp has 32 rows where there are registers for their sums: each fragment of keys and
/// values that it reads from shared memory then serves twice.
template <typename T, int kHeadDim>
class PrefillTile {
 public:
  static constexpr int kWarps = 4;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kRowTiles = kHeadDim <= 128 ? 2 : 1;  ///< of 16 rows, of a warp
  static constexpr int kRows = 16 * kRowTiles * kWarps;
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
        quad_(threadIdx.x % 4),
        first_own_(own_slot(0)),
        last_own_(own_slot(tile.count - 1)) {
    for (SoftmaxState& state : states_) state = SoftmaxState::none();
    for (auto& tile : sums_) {
      for (auto& sums : tile) sums[0] = sums[1] = sums[2] = sums[3] = 0.0f;
    }
    factor_ = kLog2E * (p.softcap > 0.0f ? p.softcap : p.scale);
  }

  __device__ void run() {
    // Tiles begin at multiples of their size, so that sums do not depend on how a prompt was cut.
    const int first = first_visible(p_, first_own_) / kSlots * kSlots;
    find_slot_rows(first, 0);
    load_queries();
    __syncthreads();
    load_slots(p_.keys, 0, shared_.keys);
    int parity = 0;
    for (int begin = first; begin <= last_own_; begin += kSlots, parity ^= 1) {
      wait_for_copies();
      __syncthreads();  // the keys are there, and the values of the last tile no longer needed
      load_slots(p_.values, parity, shared_.values);
      find_slot_rows(begin + kSlots, parity ^ 1);
      Scores scores;
      multiply_keys(scores);
      if (p_.softcap > 0.0f) bend(scores);
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
  static constexpr int kThreadRows = 2 * kRowTiles;
  /// [t][j]: the thread's rows 2 t and 2 t + 1, slots 8 j + 2 quad_ and the next of each.
  using Scores = float[kRowTiles][kSlots / 8][4];

  /// The row of the block's that a thread's fragments hold in place i.
  __device__ static int row_of(int i) {
    return 16 * kRowTiles * (threadIdx.x / 32) + threadIdx.x % 32 / 4 + 8 * i;
  }

  /// The slot of a row's token.
  __device__ int own_slot(int row) const {
    return tile_.sequence.kv_len - tile_.sequence.q_len + (tile_.first + row) / group_;
  }

  __device__ bool all_visible(int begin) const {
    return begin + kSlots - 1 <= first_own_ && begin >= first_visible(p_, last_own_);
  }

  /// What the thread's row in place i sees; rows beyond the last one see what that sees.
  __device__ SlotRange visible(int i) const {
    const int own = own_slot(min(row_of(i), tile_.count - 1));
    return {first_visible(p_, own), own + 1};
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
#pragma unroll 2  // it runs once; longer code would take longer to come than to run
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

  __device__ void multiply_keys(Scores& scores) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (auto& rows : scores) {
#pragma unroll
      for (auto& tile : rows) tile[0] = tile[1] = tile[2] = tile[3] = 0.0f;
    }
#pragma unroll
    for (int k = 0; k < kHeadDim; k += 16) {
      std::uint32_t a[kRowTiles][4];
#pragma unroll
      for (int t = 0; t < kRowTiles; ++t) {
        const int row = 16 * (kRowTiles * (threadIdx.x / 32) + t) + lane % 16;
        load_matrices(&shared_.queries[row][k + lane / 16 * 8], a[t]);
      }
#pragma unroll
      for (int j = 0; j < kSlots / 8; j += 2) {
        std::uint32_t b[4];
        load_matrices(&shared_.keys[8 * j + lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * 8], b);
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t) {
          mma_m16n8k16<T>(scores[t][j], a[t], {b[0], b[1]});
          mma_m16n8k16<T>(scores[t][j + 1], a[t], {b[2], b[3]});
        }
      }
    }
  }

  /// visit(score, row, slot) for all scores of the thread: the row's place and the tile's slot.
  template <typename Visit>
  __device__ void for_each(Scores& scores, const Visit& visit) const {
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
      for (int j = 0; j < kSlots / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          visit(scores[t][j][i], 2 * t + i / 2, 8 * j + 2 * quad_ + i % 2);
      }
    }
  }

  /// Softcap, but for the last factor.
  __device__ void bend(Scores& scores) const {
    const float scale = p_.scale / p_.softcap;
    for_each(scores, [=](float& score, int, int) { score = tanhf(scale * score); });
  }

  __device__ void mask(int begin, Scores& scores) const {
    SlotRange ranges[kThreadRows];
#pragma unroll
    for (int i = 0; i < kThreadRows; ++i) ranges[i] = visible(i);
    for_each(scores, [&](float& score, int row, int slot) {
      if (!ranges[row].holds(begin + slot)) score = kLowest;
    });
  }

  /// Turns scores into weights relative to the new largest, and rescales the sums for it.
  __device__ void weigh(Scores& scores) {
#pragma unroll
    for (int row = 0; row < kThreadRows; ++row) {
      auto& tiles = scores[row / 2];
      const int first = row % 2 * 2;
      float largest = kLowest;
#pragma unroll
      for (auto& tile : tiles) largest = fmaxf(largest, fmaxf(tile[first], tile[first + 1]));
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
      SoftmaxState& state = states_[row];
      const float correction = state.raise(SoftmaxState::exponent_of(largest, factor_));
#pragma unroll
      for (auto& sums : sums_[row / 2]) {
        sums[first] *= correction;
        sums[first + 1] *= correction;
      }
#pragma unroll
      for (auto& tile : tiles) {
#pragma unroll
        for (int i = first; i < first + 2; ++i) {
          tile[i] = state.weight(tile[i], factor_);
          state.sum += tile[i];
        }
      }
    }
  }

  __device__ void add_values(const Scores& weights) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < kSlots / 8; j += 2) {
      std::uint32_t a[kRowTiles][4];
#pragma unroll
      for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float* pair = &weights[t][j + i / 2][i % 2 * 2];
          a[t][i] = pack<T>(pair[0], pair[1]);
        }
      }
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; n += 2) {
        std::uint32_t b[4];
        load_matrices_transposed(&shared_.values[8 * j + lane % 16][8 * n + lane / 16 * 8], b);
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t) {
          mma_m16n8k16<T>(sums_[t][n], a[t], {b[0], b[1]});
          mma_m16n8k16<T>(sums_[t][n + 1], a[t], {b[2], b[3]});
        }
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
      bool sees[kThreadRows];
#pragma unroll
      for (int i = 0; i < kThreadRows; ++i) sees[i] = visible(i).holds(begin + slot);
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const float value = to_float(shared_.values[slot][8 * n + 2 * quad_ + i]);
          if (isfinite(value)) continue;
#pragma unroll
          for (int row = 0; row < kThreadRows; ++row) {
            if (sees[row]) sums_[row / 2][n][row % 2 * 2 + i] += value;
          }
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
    for (int i = 0; i < kThreadRows; ++i) {
      float sum = states_[i].sum;
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      const float inverse = 1.0f / sum;
      if (row_of(i) >= tile_.count) continue;
      T* out = tile_row<T>(p_, tile_, kv_head_, row_of(i));
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
        const float* pair = &sums_[i / 2][n][i % 2 * 2];
        *reinterpret_cast<std::uint32_t*>(out + 8 * n + 2 * quad_) =
            pack<T>(pair[0] * inverse, pair[1] * inverse);
      }
    }
  }

  const AttentionParams& p_;
  const QueryTile& tile_;
  int kv_head_;
  int group_;
  SharedMemory& shared_;
  int quad_;       ///< column pair of a fragment
  int first_own_;  ///< the slot of the tile's first token
  int last_own_;   ///< of its last
  float factor_;   ///< a score times it is the logarithm of a weight, to base 2
  SoftmaxState states_[kThreadRows];
  float sums_[kRowTiles][kHeadDim / 8][4];
};

}  // namespace quern::kernels
