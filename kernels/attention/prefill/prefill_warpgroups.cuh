#pragma once

#include "kernels/attention/attention_row.cuh"
#include "kernels/attention/prefill/attention_prefill_sm90.h"
#include "kernels/attention/prefill/prefill_work.cuh"
#include "kernels/attention/slot_range.cuh"
#include "kernels/common/sm90/mbarrier.cuh"
#include "kernels/common/sm90/wgmma.cuh"

namespace quern::kernels {

/// Roles and shared memory of an attention_prefill_sm90 block: a producer warpgroup that loads
/// queries, keys and values (PrefillProducer) and two consumer warpgroups, 64 rows each
/// (PrefillConsumer).
template <typename T, int kHeadDim>
struct PrefillBlock {
  static constexpr int kConsumers = 2;  ///< warpgroups, after the producer
  static constexpr int kThreads = 128 * (1 + kConsumers);
  static constexpr int kRows = 64 * kConsumers;
  static constexpr int kSlots = 128;
  static constexpr int kStages = kHeadDim == 64 ? 4 : 2;  ///< of keys, and of values
  static constexpr int kGroups = kHeadDim / 64;  ///< of columns; a swizzled row is 128 bytes
  static_assert(kHeadDim % 64 == 0);
  static constexpr int kGroupBytes = kSlots * 128;
  static constexpr int kTileBytes = kGroups * kGroupBytes;
  /// Registers per thread (setmaxnreg): 128 · 40 + 256 · 232 of a multiprocessor's 65536.
  static constexpr int kProducerRegisters = 40;
  static constexpr int kConsumerRegisters = 232;
  // Named barriers: 1 and 2 order the consumers' GEMMs (ping-pong), 3 and 4 are private to a
  // consumer.
  static constexpr int kTurnBarrier = 1;
  static constexpr int kOwnBarrier = 3;
  static constexpr int kQueryBarrier = 5;
  static constexpr int kQueryWarps = 3;  ///< of the producer; its first warp loads keys and values

  struct SharedMemory {
    unsigned char queries[2][kTileBytes];  ///< [kGroups, kRows, 64] T each, swizzled
    unsigned char keys[kStages][kTileBytes];
    unsigned char values[kStages][kTileBytes];
    /// A ring. Item i + 4 is written once the queries of item i + 2 are released, hence all of item
    /// i + 1.
    PrefillWork work[4];
    int items[2];
    std::uint64_t work_full[2];
    std::uint64_t queries_full[2], queries_empty[2];
    std::uint64_t keys_full[kStages], keys_empty[kStages];
    std::uint64_t values_full[kStages], values_empty[kStages];
  };
  static_assert(kRows == kSlots, "queries have the shape of a tile of keys");

  __device__ static void init_barriers(SharedMemory& shared) {
    constexpr int kConsumerWarps = 4 * kConsumers;
    for (int i = 0; i < 2; ++i) {
      init_barrier(&shared.work_full[i], 1);
      init_barrier(&shared.queries_full[i], kQueryWarps);
      // The warp that loads keys and values reads the work item too.
      init_barrier(&shared.queries_empty[i], kConsumerWarps + 1);
    }
    for (int stage = 0; stage < kStages; ++stage) {
      init_barrier(&shared.keys_full[stage], 1);
      init_barrier(&shared.keys_empty[stage], kConsumerWarps);
      init_barrier(&shared.values_full[stage], 1);
      init_barrier(&shared.values_empty[stage], kConsumerWarps);
    }
    publish_barriers();
  }

  /// First slot of the first and last tile of slots that an item's rows attend to. Tiles begin at
  /// multiples of their size, so that sums do not depend on chunk boundaries.
  __device__ static int first_tile(const AttentionParams& p, const PrefillWork& work) {
    const int group = p.num_heads / p.num_kv_heads;
    return first_visible(p, work.own_slot(0, group)) / kSlots * kSlots;
  }
  __device__ static int last_tile(const AttentionParams& p, const PrefillWork& work) {
    const int group = p.num_heads / p.num_kv_heads;
    return work.own_slot(kRows - 1, group) / kSlots * kSlots;
  }
};

/// TMA descriptors of a layer's cache.
struct PrefillMaps {
  CUtensorMap keys;    ///< [rows of the layer's cache, head_dim], boxes [box_slots, 64] swizzled
  CUtensorMap values;  ///< the same
  int box_slots = 0;   ///< slots per box; a box lies within one block
  int section_heads = 0;
};

struct PrefillSm90KernelParams {
  PrefillMaps maps;
  AttentionParams attention;
  std::uint32_t* next_item = nullptr;
};

template <typename T, int kHeadDim>
class PrefillProducer {
  using Block = PrefillBlock<T, kHeadDim>;
  using SharedMemory = typename Block::SharedMemory;

 public:
  __device__ PrefillProducer(const PrefillSm90KernelParams& params, SharedMemory& shared)
      : maps_(params.maps), p_(params.attention), next_item_(params.next_item), shared_(shared) {}

  /// Run by the producer's four warps. Queries are loaded up to two items ahead.
  __device__ void run() {
    if (threadIdx.x >= kWarpSize) {
      bring_queries();
    } else {
      bring_slots();
    }
  }

 private:
  static constexpr int kChunks = kHeadDim / 8;  ///< of 16 bytes, per row

  /// Run by warps 1 to 3, which also fetch the work items.
  __device__ void bring_queries() {
    const int thread = static_cast<int>(threadIdx.x) - kWarpSize;
    int item = static_cast<int>(blockIdx.x);
    for (unsigned i = 0;; ++i) {
      const PrefillWork work = find_work(p_, Block::kRows, maps_.section_heads, item);
      wait_for_phase(&shared_.queries_empty[i % 2], (i / 2 + 1) % 2);
      if (thread == 0) {
        shared_.work[i % 4] = work;
        arrive(&shared_.work_full[i % 2]);
        if (work.tile.count > 0) {
          shared_.items[i % 2] = static_cast<int>(gridDim.x + atomicAdd(next_item_, 1));
        }
      }
      if (work.tile.sequence.running) load_queries(work, shared_.queries[i % 2]);
      __syncwarp();
      if (threadIdx.x % kWarpSize == 0) arrive(&shared_.queries_full[i % 2]);
      if (work.tile.count == 0) return;
      named_barrier_wait(Block::kQueryBarrier, kWarpSize * Block::kQueryWarps);
      item = shared_.items[i % 2];
    }
  }

  __device__ void load_queries(const PrefillWork& work, unsigned char* queries) {
    const int thread = static_cast<int>(threadIdx.x) - kWarpSize;
    const QueryTile& tile = work.tile;
    const int group = p_.num_heads / p_.num_kv_heads;
    for (int i = thread; i < Block::kRows * kChunks; i += kWarpSize * Block::kQueryWarps) {
      const int row = i / kChunks;
      const int chunk = i % kChunks;
      const int in_sequence = tile.first + min(row, tile.count - 1);
      const std::int64_t token = tile.sequence.first_row + in_sequence / group;
      const int head = work.kv_head * group + in_sequence % group;
      copy_16_bytes_async(
          queries + chunk / 8 * Block::kGroupBytes + row * 128 + (chunk % 8 ^ row % 8) * 16,
          static_cast<const T*>(p_.queries) + (token * p_.num_heads + head) * kHeadDim + chunk * 8,
          row < tile.count);
    }
    wait_for_copies();
    fence_shared_writes();
  }

  /// Run by warp 0.
  __device__ void bring_slots() {
    for (unsigned i = 0;; ++i) {
      wait_for_phase(&shared_.work_full[i % 2], i / 2 % 2);
      const PrefillWork work = shared_.work[i % 4];
      __syncwarp();
      if (threadIdx.x == 0) arrive(&shared_.queries_empty[i % 2]);
      if (work.tile.count == 0) return;
      if (work.tile.sequence.running) load_slots(work);
    }
  }

  /// Run by warp 0, one lane per box of a tile of slots.
  __device__ void load_slots(const PrefillWork& work) {
    const int lane = static_cast<int>(threadIdx.x);
    const int group = p_.num_heads / p_.num_kv_heads;
    const int first = Block::first_tile(p_, work);
    const int last_box = work.own_slot(Block::kRows - 1, group) / maps_.box_slots * maps_.box_slots;
    const bool has_box = lane * maps_.box_slots < Block::kSlots;
    // Boxes past the last visible one repeat it, since no block is allocated there.
    const auto row_of = [&](int begin) {
      const int slot = max(0, min(begin + lane * maps_.box_slots, last_box));
      return has_box ? slot_row(p_, work.tile.sequence.state_row, work.kv_head, slot) : 0;
    };
    // A tile's keys are issued before the previous tile's values: they are needed first.
    int begin = Block::last_tile(p_, work);
    int row = row_of(begin);
    load_keys(row, has_box);
    for (begin -= Block::kSlots; begin >= first; begin -= Block::kSlots) {
      const int next_row = row_of(begin);
      load_keys(next_row, has_box);
      load_values(row, has_box);
      row = next_row;
    }
    load_values(row, has_box);
  }

  __device__ void load_keys(int row, bool has_box) {
    const int stage = keys_.stage;
    wait_for_phase(&shared_.keys_empty[stage], keys_.parity ^ 1);
    load(maps_.keys, row, shared_.keys[stage], &shared_.keys_full[stage], has_box);
    keys_.advance();
  }
  __device__ void load_values(int row, bool has_box) {
    const int stage = values_.stage;
    wait_for_phase(&shared_.values_empty[stage], values_.parity ^ 1);
    load(maps_.values, row, shared_.values[stage], &shared_.values_full[stage], has_box);
    values_.advance();
  }

  __device__ void load(const CUtensorMap& map, int row, unsigned char* destination,
                       std::uint64_t* full, bool has_box) {
    if (threadIdx.x == 0) arrive_and_expect(full, Block::kTileBytes);
    __syncwarp();
    if (!has_box) return;
    destination += static_cast<int>(threadIdx.x) * maps_.box_slots * 128;
#pragma unroll
    for (int i = 0; i < Block::kGroups; ++i) {
      copy_box_async(destination + i * Block::kGroupBytes, &map, 64 * i, row, full);
    }
  }

  const PrefillMaps& maps_;
  const AttentionParams& p_;
  std::uint32_t* next_item_;
  SharedMemory& shared_;
  RingPlace<Block::kStages> keys_;
  RingPlace<Block::kStages> values_;
};

}  // namespace quern::kernels
