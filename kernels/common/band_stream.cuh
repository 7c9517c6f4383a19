#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/gemm_stages.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/row_tile.cuh"
#include "kernels/common/weight_stream.cuh"

namespace quern::kernels {

/// A warp's share of a band: slabs of its tiles, the tiles of one slab of K after each other, from
/// `tile` of `slab` on, `count` of them.
struct BandShare {
  int tiles;  ///< of the band
  int slab;
  int tile;
  int count;

  __device__ static BandShare of(int tiles, int num_slabs) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
    const int total = tiles * num_slabs;
    const int first = total / num_warps * warp + min(warp, total % num_warps);
    return {tiles, first / tiles, first % tiles,
            total / num_warps + (warp < total % num_warps ? 1 : 0)};
  }
};

/// One warp's shares of all bands as slabs of weights, which come through a ring of shared memory
/// of the warp's own. Like WeightStream, in another order.
template <int kStages>
class BandStream {
 public:
  static constexpr int kRingPieces = kStages * kTileRows * kSlabPieces;

  __device__ BandStream(const TiledWeight& weight, const Bands& bands, uint4* ring)
      : weight_(weight), bands_(bands), ring_(ring), band_(bands.begin) {
    enter_band();
  }

  /// Asks for the first slabs. Weights may be read while earlier kernels still run.
  __device__ void start() {
    for (int i = 0; i < kStages; ++i) ask();
  }

  /// The next slab, once it is there; its place in the ring is filled anew.
  __device__ SlabFragment take() {
    wait_for_copy_groups<kStages - 1>();
    __syncwarp();
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    SlabFragment slab;
#pragma unroll
    for (int i = 0; i < kSlabPieces / 4; ++i) {
      slab.at[i] = stage()[slab_index(lane / 4, 4 * i + lane % 4)];
    }
    __syncwarp();
    ask();
    return slab;
  }

 private:
  static constexpr int kRowsAtOnce = kWarpSize / kSlabPieces;
  static constexpr int kCopies = kTileRows / kRowsAtOnce;
  static_assert(kRowsAtOnce == 2, "a pair of gate and up rows comes with one copy");

  __device__ uint4* stage() const { return ring_ + stage_ * (kTileRows * kSlabPieces); }

  __device__ void enter_band() {
    while (band_ < bands_.end) {
      next_ = BandShare::of(bands_.tiles_from(band_), weight_.num_slabs());
      if (next_.count > 0) return;
      band_ += bands_.band_tiles;
    }
  }

  /// One group of copies: the next slab into this stage, or nothing where there is none. Rows that
  /// do not exist leave there what was there: what they give is not used.
  __device__ void ask() {
    if (band_ < bands_.end) {
      const int parity = static_cast<int>(threadIdx.x) % kWarpSize / kSlabPieces;
      const int lane_piece = static_cast<int>(threadIdx.x) % kSlabPieces;
      const int piece = next_.slab * kSlabPieces + lane_piece;
      const bool inside = piece < weight_.num_pieces();
      const int feature = (band_ + next_.tile) * weight_.features_of_tile();
      const std::int64_t row = weight_.gated ? feature + std::int64_t{parity} * weight_.features
                                             : std::int64_t{feature} + parity;
      const std::int64_t step = std::int64_t{weight_.row_bytes} * (weight_.gated ? 1 : 2);
      const int left = weight_.features - feature;
      const int rows = weight_.gated ? left : (left - parity + 1) / 2;
      const std::byte* source = weight_.data + row * weight_.row_bytes + 16 * std::int64_t{piece};
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        if (i < rows) {
          copy_16_bytes_async(stage() + slab_index(i * kRowsAtOnce + parity, lane_piece),
                              source + i * step, inside);
        }
      }
      if (++next_.tile == next_.tiles) {
        next_.tile = 0;
        ++next_.slab;
      }
      if (--next_.count == 0) {
        band_ += bands_.band_tiles;
        enter_band();
      }
    }
    end_copy_group();
    stage_ = stage_ + 1 == kStages ? 0 : stage_ + 1;
  }

  const TiledWeight& weight_;
  const Bands& bands_;
  uint4* ring_;
  int band_;  ///< that is asked for
  BandShare next_{};
  int stage_ = 0;  ///< the oldest
};

}  // namespace quern::kernels
