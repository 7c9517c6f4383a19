#pragma once

#include "kernels/attention/prefill/prefill_warpgroups.cuh"

namespace quern::kernels {

/// A consumer warpgroup of attention_prefill_sm90, 64 rows. Two of them run in ping-pong: while
/// one's GEMMs (this tile's scores, the previous tile's weights · values) occupy the tensor cores,
/// the other computes its softmax.
template <typename T, int kHeadDim>
class PrefillConsumer {
  using Block = PrefillBlock<T, kHeadDim>;
  using SharedMemory = typename Block::SharedMemory;

 public:
  __device__ PrefillConsumer(const AttentionParams& p, SharedMemory& shared)
      : p_(p),
        shared_(shared),
        group_(p.num_heads / p.num_kv_heads),
        index_(static_cast<int>(threadIdx.x) / 128 - 1),
        factor_(kLog2E * p.scale) {}

  __device__ void run() {
    if (index_ == 1) named_barrier_arrive(Block::kTurnBarrier, 256);
    for (unsigned i = 0;; ++i) {
      buffer_ = static_cast<int>(i % 2);
      wait_for_phase(&shared_.queries_full[buffer_], i / 2 % 2);
      const PrefillWork& work = shared_.work[i % 4];
      if (work.tile.count == 0) return;
      if (work.tile.sequence.running) {
        attend(work);
        store(work);
      } else {
        release(&shared_.queries_empty[buffer_]);
        zero(work);
      }
    }
  }

 private:
  static constexpr int kSlots = Block::kSlots;
  static constexpr int kScores = kSlots / 2;  ///< of a thread: two rows, two of every eight slots
  static constexpr int kSums = kHeadDim / 2;
  static constexpr float kMostExponent = 8.0f;  ///< weights up to 2^8; float16 holds 2^15
  static constexpr float kMostWeight = 256.0f;

  /// The item's row of fragment row i of this thread.
  __device__ int row_of(int i) const {
    return 64 * index_ + static_cast<int>(threadIdx.x) % 128 / 32 * 16 +
           static_cast<int>(threadIdx.x) % 32 / 4 + 8 * i;
  }

  /// One arrival for the warp.
  __device__ static void release(std::uint64_t* barrier) {
    if (threadIdx.x % kWarpSize == 0) arrive(barrier);
  }

  __device__ void attend(const PrefillWork& work) {
    for (float& sum : sums_) sum = 0.0f;
    for (SoftmaxState& state : states_) state = SoftmaxState::none();
    const int first = Block::first_tile(p_, work);
    int begin = Block::last_tile(p_, work);
    // Tiles that begin in [all_from, all_to] need no mask: all rows of this warpgroup attend to
    // them.
    const int all_from = first_visible(p_, work.own_slot(64 * index_ + 63, group_));
    const int all_to = work.own_slot(64 * index_, group_) + 1 - kSlots;
    const int garbage = work.tile.sequence.kv_len - begin;

    float corrections[2];
    std::uint32_t weights[kScores / 8][4];
    {
      float scores[kScores];
      wait_for_phase(&shared_.keys_full[keys_.stage], keys_.parity);
      multiply_keys(scores);
      wgmma_wait<0>();
      pin_registers(scores);
      release_keys();
      if (begin > all_to || begin < all_from) mask(work, begin, scores);
      weigh(scores, corrections);
      round(scores, weights);
    }
    if (garbage < kSlots) clear_values(garbage);

    for (begin -= kSlots; begin >= first; begin -= kSlots) {
      float scores[kScores];
      wait_for_phase(&shared_.keys_full[keys_.stage], keys_.parity);
      wait_for_phase(&shared_.values_full[values_.stage], values_.parity);
      const bool any_new =
          __any_sync(~0u, states_[0].exponent == kLowest || states_[1].exponent == kLowest);
      named_barrier_wait(Block::kTurnBarrier + index_, 256);
      multiply_keys(scores);
      add_values(weights);
      wgmma_wait<1>();
      named_barrier_arrive(Block::kTurnBarrier + 1 - index_, 256);
      pin_registers(scores);
      release_keys();
      if (begin > all_to || begin < all_from) mask(work, begin, scores);
      const bool grew = any_new ? weigh(scores, corrections) : weigh_on(scores, corrections);
      need_registers(scores);
      // Never true: a data dependence that keeps the compiler from moving the wait above the
      // exponentials.
      if (states_[0].sum + states_[1].sum < 0.0f) __trap();
      wgmma_wait<0>();
      pin_registers(sums_);
      release_values();
      if (grew) rescale(corrections);
      round(scores, weights);
    }
    release(&shared_.queries_empty[buffer_]);
    wait_for_phase(&shared_.values_full[values_.stage], values_.parity);
    add_values(weights);
    wgmma_wait<0>();
    pin_registers(sums_);
    release_values();
  }

  __device__ void release_keys() {
    release(&shared_.keys_empty[keys_.stage]);
    keys_.advance();
  }
  __device__ void release_values() {
    release(&shared_.values_empty[values_.stage]);
    values_.advance();
  }

  /// Issues scores = queries · keys.
  __device__ void multiply_keys(float (&scores)[kScores]) {
    const std::uint64_t a = swizzled_matrix(shared_.queries[buffer_] + 64 * 128 * index_, 16);
    const std::uint64_t b = swizzled_matrix(shared_.keys[keys_.stage], 16);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kHeadDim; k += 16) {
      const int at = k / 64 * Block::kGroupBytes + k % 64 * 2;
      wgmma<T>(scores, advanced(a, at), advanced(b, at), k > 0);
    }
    wgmma_commit();
  }

  /// Issues sums += weights · values.
  __device__ void add_values(std::uint32_t (&weights)[kScores / 8][4]) {
    const std::uint64_t b = swizzled_matrix(shared_.values[values_.stage], Block::kGroupBytes);
    pin_registers(sums_);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kSlots; k += 16) {
      wgmma_registers<T>(sums_, weights[k / 16], advanced(b, k * 128), true);
    }
    wgmma_commit();
  }

  __device__ void mask(const PrefillWork& work, int begin, float (&scores)[kScores]) const {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const int own = work.own_slot(row_of(row), group_);
      const int to_slot = begin + static_cast<int>(threadIdx.x) % 4 * 2;
      const SlotRange range{first_visible(p_, own) - to_slot, own + 1 - to_slot};
#pragma unroll
      for (int i = 0; i < kScores; ++i) {
        if (i % 4 / 2 == row && !range.holds(i / 4 * 8 + i % 2)) scores[i] = kLowest;
      }
    }
  }

  /// Online softmax: turns scores into weights relative to 2^exponent, which is raised when the
  /// row's maximum exceeds it by more than kMostExponent (a weight's relative rounding does not
  /// depend on it). corrections: factors for the sums so far. Returns whether any row of the warp
  /// needs rescaling.
  __device__ bool weigh(float (&scores)[kScores], float (&corrections)[2]) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float score = largest_of(scores, row, kLowest);
      SoftmaxState& state = states_[row];
      const float exponent = SoftmaxState::exponent_of(score, factor_);
      const bool grows = exponent > state.exponent + kMostExponent || state.exponent == kLowest;
      corrections[row] = state.raise(grows ? exponent : kLowest);
      float sums[2] = {};
#pragma unroll
      for (int i = 2 * row; i < kScores; i += 4) {
        scores[i] = state.weight(scores[i], factor_);
        scores[i + 1] = state.weight(scores[i + 1], factor_);
        sums[0] += scores[i];
        sums[1] += scores[i + 1];
      }
      state.sum += sums[0] + sums[1];
    }
    return __any_sync(~0u, corrections[0] != 1.0f || corrections[1] != 1.0f);
  }

  /// The same where every row of the warp has a maximum: computes exponentials relative to the old
  /// one, without waiting for the new, and corrects them afterwards in the rare case that they are
  /// too large.
  __device__ bool weigh_on(float (&scores)[kScores], float (&corrections)[2]) {
    float largest[2] = {};
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const float offset = -states_[row].exponent;
      float sums[2] = {};
#pragma unroll
      for (int i = 2 * row; i < kScores; i += 4) {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          float& score = scores[i + k];
          score = fast_power(fmaf(score, factor_, offset));
          sums[k] += score;
          largest[row] = fmaxf(largest[row], score);
        }
      }
      states_[row].sum += sums[0] + sums[1];
    }
    corrections[0] = corrections[1] = 1.0f;
    if (!__any_sync(~0u, fmaxf(largest[0], largest[1]) > kMostWeight)) return false;
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const float weight = largest_of(scores, row, 0.0f);
      if (!(weight > kMostWeight)) continue;
      const float exponent = ceilf(log2f(weight));
      corrections[row] = exp2f(-exponent);
      states_[row].exponent += exponent;
      states_[row].sum *= corrections[row];
#pragma unroll
      for (int i = 2 * row; i < kScores; i += 4) {
        scores[i] *= corrections[row];
        scores[i + 1] *= corrections[row];
      }
    }
    return true;
  }

  /// Maximum of a row over its four threads.
  __device__ static float largest_of(const float (&numbers)[kScores], int row, float lowest) {
    float largest[2] = {lowest, lowest};
#pragma unroll
    for (int i = 2 * row; i < kScores; i += 4) {
      largest[0] = fmaxf(largest[0], numbers[i]);
      largest[1] = fmaxf(largest[1], numbers[i + 1]);
    }
    float all = fmaxf(largest[0], largest[1]);
    all = fmaxf(all, __shfl_xor_sync(~0u, all, 1));
    return fmaxf(all, __shfl_xor_sync(~0u, all, 2));
  }

  __device__ void rescale(const float (&corrections)[2]) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) sums_[i] *= corrections[i % 4 / 2];
  }

  __device__ static void round(const float (&scores)[kScores],
                               std::uint32_t (&weights)[kScores / 8][4]) {
#pragma unroll
    for (int i = 0; i < kScores / 2; ++i) {
      weights[i / 4][i % 4] = pack<T>(scores[2 * i], scores[2 * i + 1]);
    }
  }

  /// Clears the tile's slots past the sequence: uninitialized memory may hold NaN, and 0 · NaN is
  /// NaN. Both warpgroups clear them, each before its own reads.
  __device__ void clear_values(int first) {
    wait_for_phase(&shared_.values_full[values_.stage], values_.parity);
    constexpr int kRowChunks = 8;
    unsigned char* values = shared_.values[values_.stage];
    const int thread = static_cast<int>(threadIdx.x) % 128;
    for (int i = first * kRowChunks + thread; i < kSlots * kRowChunks; i += 128) {
#pragma unroll
      for (int k = 0; k < Block::kGroups; ++k) {
        *reinterpret_cast<uint4*>(values + k * Block::kGroupBytes + i * 16) = uint4{};
      }
    }
    fence_shared_writes();
    named_barrier_wait(Block::kOwnBarrier + index_, 128);
  }

  /// Whether the sums of the thread's row are finite.
  __device__ bool is_finite(int row) const {
    float probe = 0.0f * states_[row].sum;
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      if (i % 4 / 2 == row) probe += 0.0f * sums_[i];
    }
    return probe == 0.0f;
  }

  __device__ void store(const PrefillWork& work) {
    unsigned not_finite[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const bool exists = row_of(row) < work.tile.count;
      not_finite[row] = __ballot_sync(~0u, exists && !is_finite(row));
      float sum = states_[row].sum;
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      const float inverse = 1.0f / sum;
      T* out = exists ? tile_row<T>(p_, work.tile, work.kv_head, row_of(row)) : nullptr;
#pragma unroll
      for (int n = 0; n < kSums; n += 16) {  // 32 columns per quad
        std::uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float* pair = &sums_[n + 4 * i + 2 * row];
          words[i] = pack<T>(pair[0] * inverse, pair[1] * inverse);
        }
        transpose_in_quad(words);
        if (!exists) continue;
        *reinterpret_cast<uint4*>(out + 2 * n + static_cast<int>(threadIdx.x) % 4 * 8) = {
            words[0], words[1], words[2], words[3]};
      }
    }
    if ((not_finite[0] | not_finite[1]) != 0) recompute_rows(work, not_finite);
  }

  /// Recomputes rows with non-finite sums: a masked slot or the row itself has a non-finite value.
  __device__ void recompute_rows(const PrefillWork& work, const unsigned (&lanes)[2]) const {
    const int first = row_of(0) - static_cast<int>(threadIdx.x) % 32 / 4;
    __syncwarp();
#pragma unroll 1
    for (int i = 0; i < 16; ++i) {
      const unsigned of_rows = i < 8 ? lanes[0] : lanes[1];
      if ((of_rows >> (i % 8 * 4) & 0xfu) == 0) continue;
      attend_row<T, kHeadDim, KvStorage::unscaled>(p_, work.tile, work.kv_head, first + i);
    }
  }

  /// Exchanges the lower lane's second word with the first word of lane + `distance`.
  __device__ static void exchange(std::uint32_t& first, std::uint32_t& second, bool is_upper,
                                  int distance) {
    const std::uint32_t got = __shfl_xor_sync(~0u, is_upper ? first : second, distance);
    first = is_upper ? got : first;
    second = is_upper ? second : got;
  }

  /// 4 x 4 transpose across a quad: lane q receives word q of each lane.
  __device__ static void transpose_in_quad(std::uint32_t (&words)[4]) {
    const bool odd = threadIdx.x % 2 != 0;
    const bool upper = threadIdx.x % 4 / 2 != 0;
#pragma unroll
    for (int i = 0; i < 4; i += 2) exchange(words[i], words[i + 1], odd, 1);
#pragma unroll
    for (int i = 0; i < 2; ++i) exchange(words[i], words[i + 2], upper, 2);
  }

  __device__ void zero(const PrefillWork& work) const {
    constexpr int kRowChunks = kHeadDim / 8;
    const int thread = static_cast<int>(threadIdx.x) % 128;
    for (int i = thread; i < 64 * kRowChunks; i += 128) {
      const int row = 64 * index_ + i / kRowChunks;
      if (row >= work.tile.count) return;
      T* out = tile_row<T>(p_, work.tile, work.kv_head, row);
      reinterpret_cast<uint4*>(out)[i % kRowChunks] = uint4{};
    }
  }

  const AttentionParams& p_;
  SharedMemory& shared_;
  int group_;
  int index_;  ///< of this warpgroup among the consumers
  float factor_;
  int buffer_ = 0;  ///< the stage of this item's queries
  RingPlace<Block::kStages> keys_;
  RingPlace<Block::kStages> values_;
  SoftmaxState states_[2];
  float sums_[kSums];
};

}  // namespace quern::kernels
