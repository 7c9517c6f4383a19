#pragma once

#include "kernels/common/async_copy.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/gemv/row_tile.cuh"
#include "kernels/gemv/weight_stream.cuh"

namespace quern::kernels {

/// The block's tiles of a weight, ready to be copied.
struct alignas(16) StepWeight {
  const std::byte* first;  ///< the first tile's first row
  int row_bytes;
  int num_blocks;  ///< K blocks of a row
  int up_offset;   ///< bytes from a gate row to its up row; 0: not gated
  int features;    ///< from the first tile on
  int begin;       ///< tile
  int end;

  __device__ StepWeight(const TiledWeight& weight, int begin_tile, int end_tile)
      : first(weight.data +
              std::int64_t{begin_tile} * weight.features_of_tile() * weight.row_bytes),
        row_bytes(weight.row_bytes),
        num_blocks(weight.num_k_blocks()),
        up_offset(weight.gated ? weight.features * weight.row_bytes : 0),
        features(weight.features - begin_tile * weight.features_of_tile()),
        begin(begin_tile),
        end(end_tile) {}

  __device__ bool gated() const { return up_offset != 0; }
  __device__ int features_of_tile() const { return gated() ? kTileRows / 2 : kTileRows; }
  __device__ int num_vectors() const { return row_bytes / 16; }
};

/// The weights of a step, in shared memory.
struct StepWeights {
  const StepWeight* weights;
  int count;
};

/// A warp's K blocks of each tile: the warps split in_features.
struct KRange {
  int begin;
  int end;

  template <int kWarps>
  __device__ static KRange of_warp(int num_blocks) {
    const unsigned warp = threadIdx.x / kWarpSize;
    const auto blocks = static_cast<unsigned>(num_blocks);
    return {static_cast<int>(blocks * warp / kWarps),
            static_cast<int>(blocks * (warp + 1) / kWarps)};
  }

  __device__ int count() const { return end - begin; }
};

/// A lane's part of a K block: the vectors lane % 4 + 4 i of row lane / 4.
struct LaneVectors {
  static constexpr int kCount = kKBlockVectors / 4;
  uint4 at[kCount];
};

/// Streams a warp's K blocks of all weights of a step, one after the other, through one cp.async
/// pipeline in shared memory. Copies run ahead across weights: their order is known, and nothing
/// writes them. A lane copies what it reads, so that no barrier is needed and addresses take few
/// instructions: with few warps, each instruction counts. (Loads into registers would share a
/// scoreboard, so that each waits for all.)
template <int kWarps, int kStages>
class StepStream {
 public:
  static constexpr int kStageBytes = 16 * kKBlockVectors * kTileRows;

  /// `ring`: kStages K blocks of the warp.
  __device__ StepStream(const StepWeights& weights, const void* ring)
      : next_weight_(weights.weights),
        end_weight_(weights.weights + weights.count),
        ring_(shared_address(ring) + static_cast<unsigned>(16 * lane())),
        stage_(ring_) {
#pragma unroll 1
    for (int i = 0; i < kStages; ++i) {
      copy(stage_);
      stage_ = after(stage_);
    }
  }

  /// The next kCount (1 or 2) K blocks; their stages are refilled.
  template <int kCount>
  __device__ void take(LaneVectors (&blocks)[kCount]) {
    static_assert(kCount <= 2 && kCount <= kStages);
    wait_for_copy_groups<kStages - kCount>();
    const unsigned stages[2] = {stage_, after(stage_)};
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
#pragma unroll
      for (int k = 0; k < LaneVectors::kCount; ++k) {
        blocks[i].at[k] = load_shared(stages[i] + kVectorStride * k);
      }
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) copy(stages[i]);
    stage_ = after(stages[kCount - 1]);
  }

 private:
  static constexpr unsigned kVectorStride = 16 * kWarpSize;

  __device__ static int lane() { return static_cast<int>(threadIdx.x % kWarpSize); }
  // Of this lane in each K block:
  __device__ static int row() { return static_cast<int>(threadIdx.x % kWarpSize / 4); }
  __device__ static int vector() { return static_cast<int>(threadIdx.x % 4); }

  __device__ unsigned after(unsigned stage) const {
    const unsigned next = stage + kStageBytes;
    return next == ring_ + kStages * kStageBytes ? ring_ : next;
  }

  __device__ static uint4 load_shared(unsigned address) {
    uint4 words;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
                 : "r"(address)
                 : "memory");
    return words;
  }

  /// Commits one group of copies: the next K block of all into a stage, zero-filled beyond
  /// in_features, or an empty group. Rows that do not exist are not copied, and their products are
  /// not used.
  __device__ void copy(unsigned stage) {
    if (blocks_left_ == 0) find_tile();
    if (blocks_left_ <= partial_) {
      copy_part(stage);
    } else {
      copy_whole(stage);
    }
    end_copy_group();
    source_ += 16 * kKBlockVectors;
    --blocks_left_;
  }

  __device__ void copy_whole(unsigned stage) const {
    static_assert(kVectorStride == 512 && LaneVectors::kCount == 4);
    asm volatile(
        "{\n"
        ".reg .pred exists;\n"
        "setp.gt.s32 exists, %2, 0;\n"
        "@exists cp.async.cg.shared.global [%0], [%1], 16;\n"
        "@exists cp.async.cg.shared.global [%0 + 512], [%1 + 64], 16;\n"
        "@exists cp.async.cg.shared.global [%0 + 1024], [%1 + 128], 16;\n"
        "@exists cp.async.cg.shared.global [%0 + 1536], [%1 + 192], 16;\n"
        "}" ::"r"(stage),
        "l"(source_), "r"(rows_left_)
        : "memory");
  }

  /// A row's last K block, where it ends before the K block does.
  __device__ void copy_part(unsigned stage) const {
    if (rows_left_ <= 0) return;
    const int vectors = (next_weight_ - 1)->num_vectors() % kKBlockVectors - vector();
#pragma unroll
    for (int i = 0; i < LaneVectors::kCount; ++i) {
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(stage + kVectorStride * i),
                   "l"(source_ + 64 * i), "r"(vectors > 4 * i ? 16 : 0)
                   : "memory");
    }
  }

  /// Begins to copy the next tile, or that of the next weight of which the warp has K blocks.
  __device__ void find_tile() {
    source_ += tile_step_;
    rows_left_ -= features_of_tile_;
    blocks_left_ = blocks_;
    if (--tiles_left_ > 0) return;
#pragma unroll 1
    do {
      if (next_weight_ == end_weight_) {
        rows_left_ = 0;
        blocks_left_ = tiles_left_ = 1 << 30;  // empty groups
        return;
      }
      begin(*next_weight_++);
    } while (tiles_left_ == 0 || blocks_left_ == 0);
  }

  __device__ void begin(const StepWeight& weight) {
    const KRange range = KRange::of_warp<kWarps>(weight.num_blocks);
    tiles_left_ = weight.end - weight.begin;
    blocks_ = blocks_left_ = range.count();
    partial_ = range.end * kKBlockVectors > weight.num_vectors() ? 1 : 0;
    features_of_tile_ = weight.features_of_tile();
    // Rows of a gated tile: a gate row, its up row, the next gate row, …
    const int feature = weight.gated() ? row() / 2 : row();
    source_ = weight.first + feature * weight.row_bytes + row() % 2 * weight.up_offset +
              16 * (range.begin * kKBlockVectors + vector());
    tile_step_ = weight.row_bytes * features_of_tile_ - 16 * kKBlockVectors * blocks_;
    rows_left_ = weight.features - feature;
  }

  const StepWeight* next_weight_;
  const StepWeight* end_weight_;
  unsigned ring_;   ///< this lane's address of its first vector
  unsigned stage_;  ///< the oldest, likewise
  // Of the weight that is being copied:
  int tiles_left_ = 1;
  int blocks_ = 0;       ///< of a tile
  int blocks_left_ = 0;  ///< of this tile
  int partial_ = 0;      ///< of them, the last ones, that are not whole
  int features_of_tile_ = 0;
  int rows_left_ = 0;                  ///< features from this lane's on
  int tile_step_ = 0;                  ///< bytes from the end of a tile's K blocks to the next's
  const std::byte* source_ = nullptr;  ///< of this lane's first vector
};

/// A lane's part of a row of the batch that belongs to a K block.
struct RowPart {
  uint4 at[2];
};

/// The row of the batch, in shared memory, in the order in which MMAs read it; see
/// multiply_k_block().
struct StepRow {
  static constexpr int kBlockWords = 4 * kKBlockVectors;
  std::uint32_t* words;

  /// The place of the elements 4 group and 4 group + 1; see put().
  __device__ std::uint32_t* place(unsigned group) const {
    constexpr unsigned kGroupsOfBlock = 2 * kKBlockVectors;
    const unsigned vector = group % kGroupsOfBlock / 2;
    return words + group / kGroupsOfBlock * kBlockWords + vector / 8 * 32 + vector % 4 * 4 +
           vector / 4 % 2 * 2 + group % 2;
  }

  /// Puts four elements in the places of their group.
  __device__ static void put(std::uint32_t* place, const uint2& elements) {
    place[0] = elements.x;
    place[16] = elements.y;
  }

  /// The part of K block `block`.
  __device__ RowPart part(int block) const {
    const auto* from = reinterpret_cast<const uint4*>(words) + block * kKBlockVectors +
                       threadIdx.x / 4 % 2 * 4 + threadIdx.x % 4;
    return {{from[0], from[8]}};
  }
};

/// The sum of tile row lane / 4 by one row of the batch over a K block.
///
/// An MMA takes 16 rows of the weight and there are eight, so a lane's vector is passed as it is
/// loaded, as two rows of half the length: words 0 and 2 are one of the first eight rows, words 1
/// and 3 one of the last. Likewise the row of the batch: its words 0 and 2 are the even columns,
/// words 1 and 3 the odd ones. Of the results, those of the first rows by even columns and of the
/// last rows by odd columns are valid. The order of the elements does not matter as long as both
/// have the same.
template <typename T>
__device__ float multiply_k_block(const LaneVectors& weight, const RowPart& row) {
  float sums[2][4] = {};
#pragma unroll
  for (int i = 0; i < kKBlockVectors / 4; ++i) {
    const uint4& a = weight.at[i];
    const uint4& pairs = row.at[i / 2];
    if (i % 2 == 0) {
      mma_m16n8k16<T>(sums[0], {a.x, a.y, a.z, a.w}, {pairs.x, pairs.y});
    } else {
      mma_m16n8k16<T>(sums[1], {a.x, a.y, a.z, a.w}, {pairs.z, pairs.w});
    }
  }
  return sums[0][0] + sums[0][3] + (sums[1][0] + sums[1][3]);
}

}  // namespace quern::kernels
