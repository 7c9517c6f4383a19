#pragma once

#include "kernels/common/async_copy.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/gemv/row_tile.cuh"
#include "kernels/gemv/weight_stream.cuh"

namespace quern::kernels {

/// A weight of a persistent step and the tiles [begin, end) of it that the block multiplies.
struct StepWeight {
  TiledWeight weight;
  int begin;
  int end;
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
  __device__ static KRange of_warp(const TiledWeight& weight) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int num_k_blocks = weight.num_k_blocks();
    return {num_k_blocks * warp / kWarps, num_k_blocks * (warp + 1) / kWarps};
  }
};

/// A K block in shared memory: its rows are padded, so that they lie in different banks, and so
/// that addresses take few instructions.
struct PaddedKBlock {
  static constexpr int kRowBytes = 16 * (kKBlockVectors + 1);
  static constexpr int kBytes = kRowBytes * kTileRows;

  /// The fragment for RowTile's MMAs.
  __device__ static WeightFragment load(const std::byte* k_block) {
    const int row = static_cast<int>(threadIdx.x) % 8;
    const int vector = static_cast<int>(threadIdx.x) % kWarpSize / 8;
    const int even_first = vector % 2 * 2 + vector / 2;  // 0, 2, 1, 3
    const auto* from = reinterpret_cast<const uint4*>(k_block + row * kRowBytes) + even_first;
    WeightFragment weight;
#pragma unroll
    for (int i = 0; i < kKBlockVectors / 4; ++i) {
      std::uint32_t words[4];
      load_matrices(from + 4 * i, words);
      weight.at[i] = {words[0], words[1], words[2], words[3]};
    }
    return weight;
  }
};

/// Streams a warp's K blocks of all weights of a step, one after the other, through one cp.async
/// pipeline in shared memory that belongs to the warp, so that no barrier is needed. Copies run
/// ahead across weights: their order is known, and nothing writes them.
template <int kWarps>
class StepStream {
 public:
  /// Numbers of stages that wait() knows.
  static constexpr int kStages[4] = {8, 4, 3, 2};

  /// `ring`: num_stages PaddedKBlock.
  __device__ StepStream(const StepWeights& weights, std::byte* ring, int num_stages)
      : weights_(weights), ring_(ring), num_stages_(num_stages) {
    for (int i = 0; i < num_stages_; ++i) issue();
  }

  /// Waits for the next K block.
  __device__ const std::byte* wait() const {
    if (num_stages_ == 8) {
      wait_for_copy_groups<7>();
    } else if (num_stages_ == 4) {
      wait_for_copy_groups<3>();
    } else if (num_stages_ == 3) {
      wait_for_copy_groups<2>();
    } else {
      wait_for_copy_groups<1>();
    }
    __syncwarp();
    return ring_ + stage_ * PaddedKBlock::kBytes;
  }

  /// Moves on and refills the stage.
  __device__ void move_on() {
    __syncwarp();
    issue();
  }

 private:
  static constexpr int kRowsAtOnce =
      kWarpSize / kKBlockVectors;  ///< that cp.async of all lanes covers
  static constexpr int kCopies = kTileRows / kRowsAtOnce;
  static_assert(kRowsAtOnce == 2, "a pair of gate and up rows comes with one copy");

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarpSize; }
  /// This lane copies the same vector of every second row.
  __device__ static int own_row() { return lane() / kKBlockVectors; }
  __device__ static int own_vector() { return lane() % kKBlockVectors; }

  /// Commits one group of copies: the next K block of all into this stage, or an empty group.
  __device__ void issue() {
    if (tiles_left_ == 0) find_weight();
    if (tiles_left_ > 0) {
      std::byte* to = ring_ + stage_ * PaddedKBlock::kBytes + own_row() * PaddedKBlock::kRowBytes +
                      16 * own_vector();
      const std::byte* from = source_;
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        // Rows that do not exist are not copied, and their products are not used.
        if (i * kRowsAtOnce + own_row() < rows_left_) {
          copy_16_bytes_async(to + i * kRowsAtOnce * PaddedKBlock::kRowBytes, from,
                              vectors_left_ > own_vector());
        }
        from += row_step_;
      }
      source_ += 16 * kKBlockVectors;
      vectors_left_ -= kKBlockVectors;
      if (--k_blocks_left_ == 0) begin_next_tile();
    }
    end_copy_group();
    if (++stage_ == num_stages_) stage_ = 0;
  }

  __device__ void begin_next_tile() {
    source_ += tile_step_;
    vectors_left_ += k_blocks_ * kKBlockVectors;
    rows_left_ -= kTileRows;
    k_blocks_left_ = k_blocks_;
    --tiles_left_;
  }

  /// Begins to copy the next weight of which the warp has K blocks, if there is one.
  __device__ void find_weight() {
#pragma unroll 1
    while (tiles_left_ == 0 && next_weight_ < weights_.count) {
      const StepWeight& next = weights_.weights[next_weight_++];
      const TiledWeight& weight = next.weight;
      const KRange range = KRange::of_warp<kWarps>(weight);
      if (range.begin == range.end || next.begin == next.end) continue;
      tiles_left_ = next.end - next.begin;
      k_blocks_ = k_blocks_left_ = range.end - range.begin;
      // Rows of a gated tile: a gate row, its up row, the next gate row, …
      const int feature = next.begin * weight.features_of_tile();
      const std::int64_t row =
          weight.gated ? feature + own_row() / 2 + std::int64_t{own_row() % 2} * weight.features
                       : feature + own_row();
      source_ =
          weight.data + row * weight.row_bytes + 16 * (range.begin * kKBlockVectors + own_vector());
      row_step_ = std::int64_t{weight.row_bytes} * (weight.gated ? 1 : kRowsAtOnce);
      tile_step_ = std::int64_t{weight.row_bytes} * weight.features_of_tile() -
                   16 * kKBlockVectors * k_blocks_;
      vectors_left_ = weight.num_vectors() - range.begin * kKBlockVectors;
      rows_left_ = (weight.features - feature) * (weight.gated ? 2 : 1);
    }
  }

  StepWeights weights_;
  std::byte* ring_;
  int num_stages_;
  int stage_ = 0;  ///< the oldest
  int next_weight_ = 0;
  // Of the weight that is being copied:
  int tiles_left_ = 0;
  int k_blocks_ = 0;                   ///< of a tile
  int k_blocks_left_ = 0;              ///< of this tile
  int vectors_left_ = 0;               ///< of a row
  int rows_left_ = 0;                  ///< in this tile and those after it
  const std::byte* source_ = nullptr;  ///< of this lane's first copy
  std::int64_t row_step_ = 0;          ///< bytes between its rows
  std::int64_t tile_step_ = 0;         ///< from the end of a tile's K blocks to the next tile's
};

/// Sums of a tile by one row, of four independent chains of MMAs; see RowTile, whose first row this
/// is.
template <typename T>
class OneRowSums {
 public:
  /// Accumulates a K block; `row` starts at the K block.
  __device__ void multiply(const WeightFragment& weight, const std::uint32_t (&row)[4][4]) {
#pragma unroll
    for (int i = 0; i < kKBlockVectors / 4; ++i) {
      mma_m16n8k16<T>(even_[i % 2], row[i], {weight.at[i].x, weight.at[i].y});
      mma_m16n8k16<T>(odd_[i % 2], row[i], {weight.at[i].z, weight.at[i].w});
    }
  }

  /// The row's fragments for a K block.
  __device__ static void load_row(const uint4* k_block, std::uint32_t (&row)[4][4]) {
    const uint4* from = k_block + static_cast<int>(threadIdx.x) % kWarpSize / 8;
#pragma unroll
    for (int i = 0; i < kKBlockVectors / 4; ++i) load_matrices(from + 4 * i, row[i]);
  }

  /// This lane's two sums, which are of the row in the first four lanes.
  __device__ float2 sums() const {
    return {even_[0][0] + even_[1][0] + odd_[0][2] + odd_[1][2],
            even_[0][1] + even_[1][1] + odd_[0][3] + odd_[1][3]};
  }

 private:
  float even_[2][4] = {};
  float odd_[2][4] = {};
};

}  // namespace quern::kernels
