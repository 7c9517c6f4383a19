#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/gemv/row_tile.cuh"

namespace quern::kernels {

/// A weight as tiles of kTileRows rows. Gated, a tile has kTileRows / 2 gate rows and as many up
/// rows, a pair of one feature after the other.
struct TiledWeight {
  const std::byte* data;
  int row_bytes;  ///< a multiple of 16
  int features;   ///< out_features
  bool gated;

  __device__ int features_of_tile() const { return gated ? kTileRows / 2 : kTileRows; }
  __device__ int num_pieces() const { return row_bytes / 16; }
  __device__ int num_slabs() const { return (num_pieces() + kSlabPieces - 1) / kSlabPieces; }
};

/// One warp's share of a block's tiles: slabs, counted tile by tile, so that warps share evenly.
/// They come through a ring of shared memory of the warp's own: nothing but copies is ever waited
/// for.
class WeightStream {
 public:
  static constexpr int kSlabBytes = 16 * kSlabPieces * kTileRows;
  static constexpr int kMaxStages = 6;

  /// Where a slab lies.
  struct Place {
    int tile;
    int slab;  ///< of the tile
  };

  /// The warp's share of tiles [begin, end). `ring`: num_stages (1 to kMaxStages) slabs.
  __device__ WeightStream(const TiledWeight& weight, int begin, int end, uint4* ring,
                          int num_stages)
      : weight_(weight), num_slabs_(weight.num_slabs()), ring_(ring), num_stages_(num_stages) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
    const int total = (end - begin) * num_slabs_;
    const int first = total / num_warps * warp + min(warp, total % num_warps);
    left_ = total / num_warps + (warp < total % num_warps ? 1 : 0);
    here_ = {begin + first / num_slabs_, first % num_slabs_};
    slab_to_ask_ = here_.slab;
    find_source();
  }

  /// Asks for the first slabs. Weights may be read while earlier kernels still run.
  __device__ void start() {
    for (int i = 0; i < num_stages_; ++i) ask(i < left_);
  }

  __device__ bool at_end() const { return left_ == 0; }
  __device__ const Place& here() const { return here_; }

  /// This slab, once it is there.
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

  /// On to the next slab; this one's stage is filled anew.
  __device__ void move_on() {
    __syncwarp();
    if (++here_.slab == num_slabs_) here_ = {here_.tile + 1, 0};
    ask(--left_ >= num_stages_);
  }

 private:
  static constexpr int kRowsAtOnce =
      kWarpSize / kSlabPieces;  ///< that one copy of all lanes brings
  static constexpr int kCopies = kTileRows / kRowsAtOnce;
  static_assert(kRowsAtOnce == 2, "a pair of gate and up rows comes with one copy");

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarpSize; }
  /// This lane brings the same piece of every second row: the rows of one parity.
  __device__ static int parity() { return lane() / kSlabPieces; }
  __device__ static int piece() { return lane() % kSlabPieces; }

  __device__ uint4* stage() const { return ring_ + stage_ * (kTileRows * kSlabPieces); }

  /// Between rows of this lane's parity.
  __device__ std::int64_t row_step() const {
    return std::int64_t{weight_.row_bytes} * (weight_.gated ? 1 : 2);
  }

  __device__ void find_source() {
    const std::int64_t feature = std::int64_t{here_.tile} * weight_.features_of_tile();
    const std::int64_t row =
        weight_.gated ? feature + std::int64_t{parity()} * weight_.features : feature + parity();
    source_ = weight_.data + row * weight_.row_bytes + 16 * (here_.slab * kSlabPieces + piece());
    const int left = weight_.features - static_cast<int>(feature);
    rows_left_ = weight_.gated ? left : (left - parity() + 1) / 2;
  }

  /// One group of copies: the next slab into this stage, with zeros beyond the features; an empty
  /// group where there is none. Rows that do not exist leave there what was there: what they give
  /// is not used.
  __device__ void ask(bool has_next) {
    if (has_next) {
      const bool inside = slab_to_ask_ * kSlabPieces + piece() < weight_.num_pieces();
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        if (i < rows_left_) {
          copy_16_bytes_async(stage() + slab_index(i * kRowsAtOnce + parity(), piece()),
                              source_ + i * row_step(), inside);
        }
      }
      source_ += 16 * kSlabPieces;
      if (++slab_to_ask_ == num_slabs_) {
        slab_to_ask_ = 0;
        source_ += kCopies * row_step() - 16 * kSlabPieces * num_slabs_;
        rows_left_ -= kCopies;
      }
    }
    end_copy_group();
    stage_ = stage_ + 1 == num_stages_ ? 0 : stage_ + 1;
  }

  const TiledWeight& weight_;
  int num_slabs_;  ///< of a tile
  uint4* ring_;
  int num_stages_;
  int stage_ = 0;  ///< the oldest
  int left_;       ///< slabs, this one included
  Place here_;
  int slab_to_ask_;                    ///< next, of its tile
  const std::byte* source_ = nullptr;  ///< of this lane's first copy of it
  int rows_left_ = 0;                  ///< of its parity, in its tile and those after it
};

}  // namespace quern::kernels
