#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/quant/rounded/int8_gemm.h"

namespace quern::kernels {

/// sums [16, 8] += a [16, 32] · b [32, 8], a of int8, b of uint8. Fragments are those of 8 x 8
/// matrices of 16-bit elements (mma.cuh) with two bytes each: a: rows 0-7 and 8-15 of bytes 0-15,
/// then of bytes 16-31; b: bytes 0-15 and 16-31 of eight rows of K-major weights.
__device__ inline void mma_m16n8k32(int (&sums)[4], const std::uint32_t (&a)[4],
                                    const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Tile sizes of a block. Its warps are kWarpRows by kWarpFeatures parts of the tile, each of
/// kWarpSplits warps. These share the inputs of a stage or, kOwnRings, take every kWarpSplits-th
/// stage from a ring that each warp fills for itself, so that none waits for another.
template <int kRows_, int kFeatures_, int kWarpRows_, int kWarpFeatures_, int kWarpSplits_,
          int kStages_, bool kOwnRings_ = false>
struct Int8Layout {
  static constexpr int kRows = kRows_;
  static constexpr int kFeatures = kFeatures_;  ///< weight rows; if gated, half are up rows
  static constexpr int kWarpRows = kWarpRows_;
  static constexpr int kWarpFeatures = kWarpFeatures_;
  static constexpr int kWarpSplits = kWarpSplits_;
  static constexpr int kStages = kStages_;  ///< of a ring
  static constexpr bool kOwnRings = kOwnRings_;
  static_assert(!kOwnRings || kWarpRows * kWarpFeatures == 1);
  static constexpr int kRings = kOwnRings ? kWarpSplits : 1;
  static constexpr int kThreads = kWarpSize * kWarpRows * kWarpFeatures * kWarpSplits;
  static constexpr int kDepth = 128;  ///< inputs of a stage
  static constexpr int kStageBytes = (kRows + kFeatures) * kDepth;
  /// The sums leave through shared memory; the padding spreads rows over the banks.
  static constexpr int kSumStride = kFeatures + 4;
  static constexpr int kSumBytes = kRows * kSumStride * 4;
  static constexpr int kRingBytes = kStages * kStageBytes;
  static constexpr int kAllRingBytes = kRings * kRingBytes;
  static constexpr int kSharedBytes = kAllRingBytes > kSumBytes ? kAllRingBytes : kSumBytes;
  static constexpr int kRingThreads = kThreads / kRings;
};

/// Where a block's tile lies. Blocks that run at a time are a few row tiles by many feature tiles,
/// so that L2 holds what they share.
struct Int8Place {
  std::int64_t row = 0;
  std::int64_t feature = 0;  ///< of the output

  template <typename Layout>
  __device__ static Int8Place of(const Int8GemmParams& p) {
    constexpr int kBandTiles = 16;
    const int tile_features = p.epilogue.gated ? Layout::kFeatures / 2 : Layout::kFeatures;
    const int row_tiles = static_cast<int>((p.num_rows + Layout::kRows - 1) / Layout::kRows);
    const int feature_tiles =
        static_cast<int>((p.epilogue.out_features + tile_features - 1) / tile_features);
    const int index = static_cast<int>(blockIdx.x);
    const int band = index / (kBandTiles * feature_tiles);
    const int rest = index - band * kBandTiles * feature_tiles;
    const int height = min(kBandTiles, row_tiles - band * kBandTiles);
    return {std::int64_t{band * kBandTiles + rest % height} * Layout::kRows,
            std::int64_t{rest / height} * tile_features};
  }
};

/// Copies stages of rows and weights to a ring in shared memory: rows of 128 bytes whose 16-byte
/// chunks are swizzled by row % 8. What lies outside of the matrices comes as zeros.
template <typename Layout>
class Int8Loader {
 public:
  __device__ Int8Loader(const Int8GemmParams& p, const Int8Place& place, unsigned char* ring)
      : ring_(ring),
        any_(p.weight.values),
        in_features_(static_cast<int>(p.weight.in_features)),
        chunk_(static_cast<int>(threadIdx.x) % 8),
        row_(static_cast<int>(threadIdx.x) % Layout::kRingThreads / 8) {
#pragma unroll
    for (int i = 0; i < kRowCopies; ++i) {
      const std::int64_t row = place.row + row_ + i * kRowsAtATime;
      rows_[i] = row < p.num_rows ? p.in.values + row * in_features_ : nullptr;
    }
#pragma unroll
    for (int i = 0; i < kWeightCopies; ++i) {
      const int in_tile = row_ + i * kRowsAtATime;
      constexpr int kHalf = Layout::kFeatures / 2;
      const bool is_up = p.epilogue.gated && in_tile >= kHalf;
      const std::int64_t feature = place.feature + (is_up ? in_tile - kHalf : in_tile);
      const bool exists = feature < p.epilogue.out_features;
      const std::int64_t row = feature + (is_up ? p.epilogue.out_features : 0);
      weights_[i] = exists ? p.weight.values + row * in_features_ : nullptr;
    }
  }

  /// `step`: of kDepth inputs.
  __device__ void load_rows(int step, int stage) const {
#pragma unroll
    for (int i = 0; i < kRowCopies; ++i) {
      if (row_ + i * kRowsAtATime < Layout::kRows)
        copy(step, stage, row_ + i * kRowsAtATime, rows_[i]);
    }
  }
  __device__ void load_weights(int step, int stage) const {
#pragma unroll
    for (int i = 0; i < kWeightCopies; ++i) {
      const int in_tile = row_ + i * kRowsAtATime;
      if (in_tile < Layout::kFeatures) copy(step, stage, Layout::kRows + in_tile, weights_[i]);
    }
  }

 private:
  static constexpr int kRowsAtATime = Layout::kRingThreads / 8;
  static constexpr int kRowCopies = (Layout::kRows + kRowsAtATime - 1) / kRowsAtATime;
  static constexpr int kWeightCopies = (Layout::kFeatures + kRowsAtATime - 1) / kRowsAtATime;

  /// `source`: the row's first byte, or null.
  __device__ void copy(int step, int stage, int row, const void* source) const {
    const int at = step * Layout::kDepth + 16 * chunk_;
    const bool is_valid = source != nullptr && at < in_features_;
    copy_16_bytes_async(ring_ + stage * Layout::kStageBytes + row * 128 + (chunk_ ^ row % 8) * 16,
                        is_valid ? static_cast<const unsigned char*>(source) + at : any_, is_valid);
  }

  unsigned char* ring_;
  const std::uint8_t* any_;  ///< an address that invalid copies name and do not read
  int in_features_;
  int chunk_;
  int row_;
  const std::int8_t* rows_[kRowCopies];
  const std::uint8_t* weights_[kWeightCopies];
};

}  // namespace quern::kernels
