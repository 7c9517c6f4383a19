#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/reduce.cuh"

namespace quern::kernels {

// The pipeline of the GEMMs by mma m16n8k32 of rows rounded to 8 bits. A Numbers says what the rows
// and weights are:
//
//   Params                           of the launcher: in, num_rows, weight, epilogue, use_pdl
//   Sum                              of products: int or float
//   kHasCode                         whether the architecture that is compiled for has the mma
//   kMinBlocks                       of a multiprocessor, in the launch bound; 0: none
//   kPromotesSums                    sums leave the tensor cores after each stage
//   row_bytes(p)                     of the rows, a multiple of 16
//   weight_row(p, row)               its first byte
//   weight_offset(at)                bytes from there to those of inputs at and further, 16 of them
//   multiply(sums, a, b)             sums [16, 8] += a [16, 32] · b [32, 8]
//   Row(p, row), Feature(p, row)     what scales a row's products, and those of a weight row
//   product(sum, row, feature)

/// Tile sizes of a block. Its warps are kWarpRows by kWarpFeatures parts of the tile, each of
/// kWarpSplits warps. These share the inputs of a stage or, kOwnRings, take every kWarpSplits-th
/// stage from a ring that each warp fills for itself, so that none waits for another.
template <int kRows_, int kFeatures_, int kWarpRows_, int kWarpFeatures_, int kWarpSplits_,
          int kStages_, bool kOwnRings_ = false>
struct RoundedGemmLayout {
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
struct RoundedGemmPlace {
  std::int64_t row = 0;
  std::int64_t feature = 0;  ///< of the output

  template <typename Layout, typename Params>
  __device__ static RoundedGemmPlace of(const Params& p) {
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
template <typename Numbers, typename Layout>
class RoundedGemmLoader {
 public:
  __device__ RoundedGemmLoader(const typename Numbers::Params& p, const RoundedGemmPlace& place,
                               unsigned char* ring)
      : ring_(ring),
        any_(p.weight.values),
        row_bytes_(static_cast<int>(Numbers::row_bytes(p))),
        chunk_(static_cast<int>(threadIdx.x) % 8),
        row_(static_cast<int>(threadIdx.x) % Layout::kRingThreads / 8) {
#pragma unroll
    for (int i = 0; i < kRowCopies; ++i) {
      const std::int64_t row = place.row + row_ + i * kRowsAtATime;
      rows_[i] = row < p.num_rows
                     ? reinterpret_cast<const std::uint8_t*>(p.in.values) + row * row_bytes_
                     : nullptr;
    }
#pragma unroll
    for (int i = 0; i < kWeightCopies; ++i) {
      const int in_tile = row_ + i * kRowsAtATime;
      constexpr int kHalf = Layout::kFeatures / 2;
      const bool is_up = p.epilogue.gated && in_tile >= kHalf;
      const std::int64_t feature = place.feature + (is_up ? in_tile - kHalf : in_tile);
      const bool exists = feature < p.epilogue.out_features;
      const std::int64_t row = feature + (is_up ? p.epilogue.out_features : 0);
      weights_[i] = exists ? Numbers::weight_row(p, row) : nullptr;
    }
  }

  /// `step`: of kDepth inputs.
  __device__ void load_rows(int step, int stage) const {
#pragma unroll
    for (int i = 0; i < kRowCopies; ++i) {
      if (row_ + i * kRowsAtATime >= Layout::kRows) continue;
      copy(at(step), at(step), stage, row_ + i * kRowsAtATime, rows_[i]);
    }
  }
  __device__ void load_weights(int step, int stage) const {
#pragma unroll
    for (int i = 0; i < kWeightCopies; ++i) {
      const int in_tile = row_ + i * kRowsAtATime;
      if (in_tile >= Layout::kFeatures) continue;
      copy(at(step), Numbers::weight_offset(at(step)), stage, Layout::kRows + in_tile, weights_[i]);
    }
  }

 private:
  static constexpr int kRowsAtATime = Layout::kRingThreads / 8;
  static constexpr int kRowCopies = (Layout::kRows + kRowsAtATime - 1) / kRowsAtATime;
  static constexpr int kWeightCopies = (Layout::kFeatures + kRowsAtATime - 1) / kRowsAtATime;

  /// The first of this thread's 16 inputs of a step.
  __device__ int at(int step) const { return step * Layout::kDepth + 16 * chunk_; }

  /// Copies the inputs from `at` on to a row of a stage. `source`: the row's first byte, or null;
  /// `offset`: from there to them.
  __device__ void copy(int at, int offset, int stage, int row, const std::uint8_t* source) const {
    const bool is_valid = source != nullptr && at < row_bytes_;
    copy_16_bytes_async(ring_ + stage * Layout::kStageBytes + row * 128 + (chunk_ ^ row % 8) * 16,
                        is_valid ? source + offset : any_, is_valid);
  }

  unsigned char* ring_;
  const std::uint8_t* any_;  ///< an address that invalid copies name and do not read
  int row_bytes_;
  int chunk_;
  int row_;
  const std::uint8_t* rows_[kRowCopies];
  const std::uint8_t* weights_[kWeightCopies];
};

}  // namespace quern::kernels
