#pragma once

#include "kernels/common/launch.h"
#include "kernels/gemv/row_tile.cuh"

namespace quern::kernels {

// Tile shapes of skinny_gemm(): M are rows of the batch, N weight rows, K in_features.

inline constexpr int kGemmWarps = 8;
inline constexpr int kGemmThreads = 32 * kGemmWarps;
inline constexpr int kMmaRows = 16;   ///< rows of one mma
inline constexpr int kMmaDepth = 16;  ///< of K
/// A K slice: the same 64 elements of K of several rows and weight rows, 8 vectors of 16 bytes
/// each.
inline constexpr int kKSliceVectors = 8;
inline constexpr int kKSliceRowBytes = 16 * kKSliceVectors;
inline constexpr int kStepsOfKSlice = kKSliceVectors * 8 / kMmaDepth;

/// Offset of vector `vector` of row `row` in a K slice in shared memory, in vectors. XOR swizzle:
/// the same vector of eight consecutive rows lies in different banks.
__device__ inline int k_slice_index(int row, int vector) {
  return row * kKSliceVectors + (vector ^ (row % 8));
}

/// Tile shape of a block and its warps. kWarpsN warps split the tiles of a pass along N, up to
/// kTilesPerWarp each; the other warps split K within the block: each such group multiplies its
/// slices of every K tile of kKSlicesOfKTile slices. Warps along N read the same fragments of the
/// rows, and shared-memory bandwidth is the limit, so fewer of them are better.
template <int kBlockM, int kTilesPerWarp, int kWarpsN, int kKSlicesOfKTile, int kStagesOfBlock>
struct GemmLayout {
  static constexpr int kRows = kBlockM;
  static constexpr int kTiles = kTilesPerWarp;
  static constexpr int kWarpsAlongN = kWarpsN;
  static constexpr int kKSlices = kKSlicesOfKTile;
  static constexpr int kStages = kStagesOfBlock;  ///< K tiles in shared memory
  static constexpr int kRowTiles = kRows / kMmaRows;
  static constexpr int kPassTiles = kWarpsAlongN * kTiles;   ///< tiles per pass, at most
  static constexpr int kWarpsK = kGemmWarps / kWarpsAlongN;  ///< warps that split a K tile
  static constexpr int kSteps = kStepsOfKSlice * kKSlices / kWarpsK;
  /// For accumulators and fragments, of the 128 that a thread has where two blocks are co-resident.
  static constexpr int kRegistersForMma = 88;
  static_assert(kSteps > 0 && kStages > 2);

  /// Rows of a K slice in shared memory: the batch's rows, then the weight rows of a pass. Warps
  /// also load fragments of tiles that a pass lacks, and do not use them.
  static constexpr int kKSliceRows = kRows + kTileRows * kPassTiles;
  static constexpr int kStageBytes = kKSlices * kKSliceRows * kKSliceRowBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;
  /// The stages hold all partial sums when the K splits are reduced.
  static_assert(kWarpsK * kPassTiles * kTileRows * kRows * static_cast<int>(sizeof(float)) <=
                kSharedBytes);

  static constexpr bool serves(int tiles, int max_shared_bytes) {
    return tiles <= kPassTiles && kSharedBytes <= max_shared_bytes;
  }
  /// Whether K splits can be reduced while stages fill for the next pass: one stage and the
  /// registers have room for the partial sums.
  static constexpr bool kServesPasses = kWarpsK == 1 || (kWarpsK == 2 && kRows * kTiles <= 128);
};

/// Calls body<Layout>(tiles per pass) with the first of the layouts that covers all `tiles` of a
/// block in one pass or, where none does, in as few passes as possible.
template <typename... Layouts>
struct GemmLayouts {
  /// Whether one of them covers all `tiles` in one pass.
  static constexpr bool cover(int tiles, int max_shared_bytes) {
    return (Layouts::serves(tiles, max_shared_bytes) || ...);
  }

  template <typename Body>
  static void dispatch(int tiles, int max_shared_bytes, const Body& body) {
    for (int passes = 1;; ++passes) {
      const int pass_tiles = (tiles + passes - 1) / passes;
      const auto call = [&]<typename Layout>() {
        if (!Layout::serves(pass_tiles, max_shared_bytes)) return false;
        if (passes > 1 && !Layout::kServesPasses) return false;
        body.template operator()<Layout>(pass_tiles);
        return true;
      };
      if ((call.template operator()<Layouts>() || ...)) return;
    }
  }

  /// Whether every GPU can run at least single tiles, in any number of passes.
  static constexpr bool kServeAll =
      ((Layouts::kServesPasses && Layouts::serves(1, kMaxSharedBytes)) || ...);
};

}  // namespace quern::kernels
