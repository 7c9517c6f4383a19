#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/gemv/row_tile.cuh"

namespace quern::kernels {

/// A weight as tiles of kTileRows rows. Gated, a tile interleaves kTileRows / 2 gate rows with
/// their up rows.
struct TiledWeight {
  const std::byte* data;
  int row_bytes;  ///< a multiple of 16
  int features;   ///< out_features
  bool gated;

  __device__ int features_of_tile() const { return gated ? kTileRows / 2 : kTileRows; }
  __device__ int num_vectors() const { return row_bytes / 16; }
  __device__ int num_k_blocks() const {
    return (num_vectors() + kKBlockVectors - 1) / kKBlockVectors;
  }
};

/// Streams one warp's share of a block's tiles, split evenly by K blocks, through a cp.async
/// pipeline in shared memory that belongs to the warp, so that no barrier is needed.
class WeightStream {
 public:
  static constexpr int kKBlockBytes = 16 * kKBlockVectors * kTileRows;
  static constexpr int kMaxStages = 6;

  /// Coordinates of a K block.
  struct Place {
    int tile;
    int k_block;  ///< of the tile
  };

  /// The warp's share of tiles [begin, end). `ring`: num_stages (1 to kMaxStages) K blocks.
  __device__ WeightStream(const TiledWeight& weight, int begin, int end, uint4* ring,
                          int num_stages)
      : weight_(weight),
        num_k_blocks_(weight.num_k_blocks()),
        ring_(ring),
        num_stages_(num_stages) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
    const int total = (end - begin) * num_k_blocks_;
    const int first = total / num_warps * warp + min(warp, total % num_warps);
    left_ = total / num_warps + (warp < total % num_warps ? 1 : 0);
    here_ = {begin + first / num_k_blocks_, first % num_k_blocks_};
    next_k_block_ = here_.k_block;
    find_source();
  }

  /// Issues the copies of the first K blocks. Weights may be read while earlier kernels still run.
  __device__ void start() {
    for (int i = 0; i < num_stages_; ++i) issue(i < left_);
  }

  __device__ bool at_end() const { return left_ == 0; }
  __device__ const Place& here() const { return here_; }

  /// Waits for this K block.
  __device__ const uint4* wait() const {
    switch (num_stages_) {
      case 6:
        wait_for_copy_groups<5>();
        break;
      case 5:
        wait_for_copy_groups<4>();
        break;
      case 4:
        wait_for_copy_groups<3>();
        break;
      case 3:
        wait_for_copy_groups<2>();
        break;
      case 2:
        wait_for_copy_groups<1>();
        break;
      default:
        wait_for_copies();
    }
    __syncwarp();
    return stage();
  }

  /// Moves to the next K block and refills this one's stage.
  __device__ void move_on() {
    __syncwarp();
    if (++here_.k_block == num_k_blocks_) here_ = {here_.tile + 1, 0};
    issue(--left_ >= num_stages_);
  }

 private:
  static constexpr int kRowsAtOnce =
      kWarpSize / kKBlockVectors;  ///< covered by one copy of every lane
  static constexpr int kCopies = kTileRows / kRowsAtOnce;
  static_assert(kRowsAtOnce == 2, "a pair of gate and up rows comes with one copy");

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarpSize; }
  /// This lane copies the same vector of every second row: the rows of one parity.
  __device__ static int parity() { return lane() / kKBlockVectors; }
  __device__ static int vector() { return lane() % kKBlockVectors; }

  __device__ uint4* stage() const { return ring_ + stage_ * (kTileRows * kKBlockVectors); }

  /// Bytes between rows of this lane's parity.
  __device__ std::int64_t row_step() const {
    return std::int64_t{weight_.row_bytes} * (weight_.gated ? 1 : 2);
  }

  __device__ void find_source() {
    const std::int64_t feature = std::int64_t{here_.tile} * weight_.features_of_tile();
    const std::int64_t row =
        weight_.gated ? feature + std::int64_t{parity()} * weight_.features : feature + parity();
    source_ =
        weight_.data + row * weight_.row_bytes + 16 * (here_.k_block * kKBlockVectors + vector());
    const int left = weight_.features - static_cast<int>(feature);
    rows_left_ = weight_.gated ? left : (left - parity() + 1) / 2;
  }

  /// Commits one group of copies: the next K block into this stage, zero-filled beyond in_features,
  /// or an empty group. Rows that do not exist are not copied, and their products are not used.
  __device__ void issue(bool has_next) {
    if (has_next) {
      const bool inside = next_k_block_ * kKBlockVectors + vector() < weight_.num_vectors();
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        if (i < rows_left_) {
          copy_16_bytes_async(stage() + k_block_index(i * kRowsAtOnce + parity(), vector()),
                              source_ + i * row_step(), inside);
        }
      }
      source_ += 16 * kKBlockVectors;
      if (++next_k_block_ == num_k_blocks_) {
        next_k_block_ = 0;
        source_ += kCopies * row_step() - 16 * kKBlockVectors * num_k_blocks_;
        rows_left_ -= kCopies;
      }
    }
    end_copy_group();
    stage_ = stage_ + 1 == num_stages_ ? 0 : stage_ + 1;
  }

  const TiledWeight& weight_;
  int num_k_blocks_;  ///< of a tile
  uint4* ring_;
  int num_stages_;
  int stage_ = 0;  ///< the oldest
  int left_;       ///< K blocks, this one included
  Place here_;
  int next_k_block_;                   ///< next, of its tile
  const std::byte* source_ = nullptr;  ///< of this lane's first copy of it
  int rows_left_ = 0;                  ///< of its parity, in its tile and those after it
};

}  // namespace quern::kernels
