#pragma once

#include "kernels/attention/attention.cuh"
#include "kernels/attention/attention_row.cuh"
#include "kernels/attention/prefill/prefill_numbers.cuh"
#include "kernels/attention/slot_range.cuh"
#include "kernels/common/async_copy.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/mma.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {

/// One thread block of prefill attention: rows of a QueryTile over tiles of slots. The copy of a
/// tile's values overlaps its score computation, the copy of the next tile's keys overlaps both. A
/// warp has 32 rows where its accumulators fit into registers: each fragment of keys and values
/// that it loads from shared memory then serves two MMAs.
/// Numbers with scales are copied as they are, and converted to T from shared to shared memory,
/// each by the thread that copied it, in front of the barrier after which they are used. A key's
/// scale multiplies its scores, a value's its weights before they are rounded; see ScaleFactor.
template <typename T, int kHeadDim, KvStorage kStorage>
class PrefillTile {
  using Traits = StorageTraits<kStorage>;

 public:
  using Layout = PrefillLayout<kHeadDim>;
  static constexpr int kThreads = Layout::kThreads;
  static constexpr int kRows = Layout::kRows;

  struct SharedMemory : ScaledTiles<Layout::kSlots, kHeadDim, kStorage> {
    alignas(16) T queries[Layout::kRows * Layout::kStride];
    T keys[Traits::kScaledKeys ? 1 : 2][Layout::kSlots * Layout::kStride];
    T values[Layout::kSlots * Layout::kStride];
    int slot_rows[3][Layout::kSlots];  ///< cache rows of this tile's slots and the next two's; -1
                                       ///< beyond the end
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
    // Tiles begin at multiples of their size, so that sums do not depend on chunk boundaries.
    const int first = first_visible(p_, first_own_) / kSlots * kSlots;
    if (threadIdx.x < kSlots) {
      shared_.slot_rows[0][threadIdx.x] = find_slot_row(first);
      shared_.slot_rows[1][threadIdx.x] = find_slot_row(first + kSlots);
    }
    load_queries();
    __syncthreads();
    load_keys(0, 0);
    end_copy_group();
    int parity = 0;
    int place = 0;  // of this tile in slot_rows
    for (int begin = first; begin <= last_own_; begin += kSlots, parity ^= 1) {
      const int next_place = place == 2 ? 0 : place + 1;
      wait_for_copies();
      if constexpr (Traits::kScaledKeys) Numbers::convert(shared_.key_numbers, shared_.keys[0]);
      __syncthreads();  // keys have arrived; values of the previous tile are no longer read
      load_values(place);
      end_copy_group();
      if (begin + kSlots <= last_own_) load_keys(next_place, parity ^ 1);
      end_copy_group();
      const int far_row = threadIdx.x < kSlots ? find_slot_row(begin + 2 * kSlots) : 0;
      std::uint32_t weights[kSlots / 16][kRowTiles][4];
      {
        Scores scores;
        multiply_keys(shared_.keys[Traits::kScaledKeys ? 0 : parity], scores);
        if constexpr (Traits::kScaledKeys) scale_scores(shared_.key_scales[parity], scores);
        if (threadIdx.x < kSlots) {
          shared_.slot_rows[next_place == 2 ? 0 : next_place + 1][threadIdx.x] = far_row;
        }
        if (p_.softcap > 0.0f) apply_softcap(scores);
        if (!all_visible(begin)) mask(begin, scores);
        weigh(scores);
        if constexpr (Traits::kScaledValues) scale_weights(shared_.value_scales[parity], scores);
        round(scores, weights);
      }
      place = next_place;
      wait_for_copy_groups<1>();
      if constexpr (Traits::kScaledValues) Numbers::convert(shared_.value_numbers, shared_.values);
      __syncthreads();
      add_values(weights);
    }
    store();
  }

 private:
  using Numbers = PrefillNumbers<T, kHeadDim, Traits::kStored>;
  static constexpr int kRowTiles = Layout::kRowTiles;
  static constexpr int kSlots = Layout::kSlots;
  static constexpr unsigned kChunks = kHeadDim / 8;  ///< of 16 bytes, per row
  static constexpr int kThreadRows = 2 * kRowTiles;
  /// [t][j]: rows 2 t and 2 t + 1 of the thread; slots 8 j + 2 quad_ and 8 j + 2 quad_ + 1.
  using Scores = float[kRowTiles][kSlots / 8][4];

  /// The block's row of fragment row i of this thread.
  __device__ static int row_of(int i) {
    return 16 * kRowTiles * (threadIdx.x / 32) + threadIdx.x % 32 / 4 + 8 * i;
  }

  /// The slot of the row's own token.
  __device__ int own_slot(int row) const {
    return tile_.sequence.kv_len - tile_.sequence.q_len + (tile_.first + row) / group_;
  }

  __device__ bool all_visible(int begin) const {
    return begin + kSlots - 1 <= first_own_ && begin >= first_visible(p_, last_own_);
  }

  /// The slots that fragment row i attends to; padding rows attend as the last row does.
  __device__ SlotRange visible(int i) const {
    const int own = own_slot(min(row_of(i), tile_.count - 1));
    return {first_visible(p_, own), own + 1};
  }

  /// The cache row of this thread's slot of a tile.
  __device__ int find_slot_row(int begin) const {
    const int slot = begin + static_cast<int>(threadIdx.x);
    return slot <= last_own_ ? slot_row(p_, tile_.sequence.state_row, kv_head_, slot) : -1;
  }

  __device__ void load_queries() {
    const T* queries = static_cast<const T*>(p_.queries);
#pragma unroll 2  // runs once per block: more unrolling costs more instruction fetches than it
                  // saves
    for (unsigned i = threadIdx.x; i < kRows * kChunks; i += kThreads) {
      const int row = static_cast<int>(i / kChunks);
      const int token = (tile_.first + row) / group_;
      const int head = kv_head_ * group_ + (tile_.first + row) % group_;
      const bool exists = row < tile_.count;
      const std::int64_t vector =
          exists ? std::int64_t{tile_.sequence.first_row + token} * p_.num_heads + head : 0;
      copy_16_bytes_async(&shared_.queries[Layout::element(row, i % kChunks)],
                          queries + vector * kHeadDim + i % kChunks * 8, exists);
    }
  }

  /// Issues the copies of a tile's keys, and of the scales of keys and values; by parity of the
  /// tile.
  __device__ void load_keys(int place, int parity) {
    if constexpr (Traits::kScaledKeys) {
      Numbers::load(p_.keys, shared_.slot_rows[place], shared_.key_numbers);
      Numbers::load_scales(p_.key_scales, shared_.slot_rows[place], shared_.key_scales[parity]);
    } else {
      Layout::load_vectors(p_.keys, shared_.slot_rows[place], shared_.keys[parity]);
    }
    if constexpr (Traits::kScaledValues) {
      Numbers::load_scales(p_.value_scales, shared_.slot_rows[place], shared_.value_scales[parity]);
    }
  }

  __device__ void load_values(int place) {
    if constexpr (Traits::kScaledValues) {
      Numbers::load(p_.values, shared_.slot_rows[place], shared_.value_numbers);
    } else {
      Layout::load_vectors(p_.values, shared_.slot_rows[place], shared_.values);
    }
  }

  __device__ void multiply_keys(const T* keys, Scores& scores) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (auto& rows : scores) {
#pragma unroll
      for (auto& tile : rows) tile[0] = tile[1] = tile[2] = tile[3] = 0.0f;
    }
#pragma unroll
    for (int k = 0; k < kHeadDim / 8; k += 2) {
      std::uint32_t a[kRowTiles][4];
#pragma unroll
      for (int t = 0; t < kRowTiles; ++t) {
        const int row = 16 * (kRowTiles * (threadIdx.x / 32) + t) + lane % 16;
        load_matrices(&shared_.queries[Layout::element(row, k + lane / 16)], a[t]);
      }
#pragma unroll
      for (int j = 0; j < kSlots / 8; j += 2) {
        std::uint32_t b[4];
        load_matrices(&keys[Layout::element(8 * j + lane / 16 * 8 + lane % 8, k + lane / 8 % 2)],
                      b);
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t) {
          mma_m16n8k16<T>(scores[t][j], a[t], {b[0], b[1]});
          mma_m16n8k16<T>(scores[t][j + 1], a[t], {b[2], b[3]});
        }
      }
    }
  }

  /// Calls visit(score, fragment row, slot of the tile) for all scores of the thread.
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

  __device__ void scale_scores(const float* scales, Scores& scores) const {
    for_each(scores, [=](float& score, int, int slot) {
      score *= scales[slot] * kNumberUnit<T, Traits::kStored>;
    });
  }

  /// Multiplies weights by the scales of their values.
  __device__ void scale_weights(const float* scales, Scores& weights) {
    float largest = 0.0f;
#pragma unroll
    for (int j = 0; j < kSlots / 8; ++j) {
      const float2 pair = *reinterpret_cast<const float2*>(scales + 8 * j + 2 * quad_);
      largest = fmaxf(largest, fmaxf(pair.x, pair.y));
    }
    if (__any_sync(~0u, scale_factor_.is_exceeded_by(largest))) {
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
      const float correction = scale_factor_.lower(largest);
#pragma unroll
      for (auto& rows : sums_) {
#pragma unroll
        for (auto& sums : rows) {
#pragma unroll
          for (float& sum : sums) sum *= correction;
        }
      }
    }
    const float factor = scale_factor_.factor();
    for_each(weights, [=](float& weight, int, int slot) { weight *= scales[slot] * factor; });
  }

  /// Softcap, except for its last factor, which factor_ contains.
  __device__ void apply_softcap(Scores& scores) const {
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

  /// Online softmax: turns scores into weights relative to the new maximum and rescales the sums.
  __device__ void weigh(Scores& scores) {
    float corrections[kThreadRows];
    bool rescales = false;
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
      corrections[row] = state.raise(SoftmaxState::exponent_of(largest, factor_));
      rescales |= corrections[row] != 1.0f;
    }
    if (__any_sync(~0u, rescales)) {  // maxima are rounded to powers of two, which seldom change
#pragma unroll
      for (int row = 0; row < kThreadRows; ++row) {
#pragma unroll
        for (auto& sums : sums_[row / 2]) {
          sums[row % 2 * 2] *= corrections[row];
          sums[row % 2 * 2 + 1] *= corrections[row];
        }
      }
    }
    for_each(scores, [&](float& score, int row, int) {
      score = states_[row].weight(score, factor_);
      states_[row].sum += score;
    });
  }

  __device__ static void round(const Scores& scores,
                               std::uint32_t (&weights)[kSlots / 16][kRowTiles][4]) {
#pragma unroll
    for (int j = 0; j < kSlots / 16; ++j) {
#pragma unroll
      for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float* pair = &scores[t][2 * j + i / 2][i % 2 * 2];
          weights[j][t][i] = pack<T>(pair[0], pair[1]);
        }
      }
    }
  }

  __device__ void add_values(const std::uint32_t (&weights)[kSlots / 16][kRowTiles][4]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; n += 2) {
#pragma unroll
      for (int j = 0; j < kSlots / 16; ++j) {
        std::uint32_t b[4];
        load_matrices_transposed(
            &shared_.values[Layout::element(16 * j + lane % 16, n + lane / 16)], b);
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t) {
          mma_m16n8k16<T>(sums_[t][n], weights[j][t], {b[0], b[1]});
          mma_m16n8k16<T>(sums_[t][n + 1], weights[j][t], {b[2], b[3]});
        }
      }
    }
  }

  /// Whether the sums of fragment row i are finite.
  __device__ bool is_finite(int i) const {
    float probe = 0.0f * states_[i].sum;
#pragma unroll
    for (const auto& sums : sums_[i / 2])
      probe += 0.0f * sums[i % 2 * 2] + 0.0f * sums[i % 2 * 2 + 1];
    return probe == 0.0f;
  }

  __device__ void store() {
    unsigned not_finite[kThreadRows];
#pragma unroll
    for (int i = 0; i < kThreadRows; ++i) {
      const bool exists = row_of(i) < tile_.count;
      not_finite[i] = __ballot_sync(~0u, exists && !is_finite(i));
      float sum = states_[i].sum;
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      float inverse = 1.0f / sum;
      if constexpr (Traits::kScaledValues) {
        inverse *= kNumberUnit<T, Traits::kStored> / scale_factor_.factor();
      }
      if (!exists) continue;
      T* out = tile_row<T>(p_, tile_, kv_head_, row_of(i));
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
        const float* pair = &sums_[i / 2][n][i % 2 * 2];
        *reinterpret_cast<std::uint32_t*>(out + 8 * n + 2 * quad_) =
            pack<T>(pair[0] * inverse, pair[1] * inverse);
      }
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kThreadRows; ++i) recompute_rows(not_finite[i], i);
  }

  /// Recomputes rows with non-finite sums (fragment row i of these lanes): a masked slot or the row
  /// itself has a non-finite value.
  __device__ void recompute_rows(unsigned lanes, int i) const {
    while (lanes != 0) {
      const int lane = __ffs(static_cast<int>(lanes)) - 1;
      lanes &= ~(0xfu << (lane / 4 * 4));
      const int first = row_of(i) - static_cast<int>(threadIdx.x) % 32 / 4;
      attend_row<T, kHeadDim, kStorage>(p_, tile_, kv_head_, first + lane / 4);
    }
  }

  const AttentionParams& p_;
  const QueryTile& tile_;
  int kv_head_;
  int group_;
  SharedMemory& shared_;
  int quad_;       ///< column pair of this thread in a fragment
  int first_own_;  ///< slot of the tile's first token
  int last_own_;   ///< slot of the tile's last token
  float factor_;   ///< from score to log2 of the weight
  SoftmaxState states_[kThreadRows];
  float sums_[kRowTiles][kHeadDim / 8][4];
  ScaleFactor scale_factor_;
};

}  // namespace quern::kernels
