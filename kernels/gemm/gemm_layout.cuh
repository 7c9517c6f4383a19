#pragma once

#include "kernels/common/launch.h"
#include "kernels/gemv/row_tile.cuh"

namespace quern::kernels {

// How skinny_gemm() uses a multiprocessor.

inline constexpr int kGemmWarps = 8;
inline constexpr int kMmaRows = 16;   ///< rows of one mma
inline constexpr int kMmaDepth = 16;  ///< of K
/// 16-byte pieces of a row of a panel. A panel has so much of K of some rows and weight rows.
inline constexpr int kPanelPieces = 8;
inline constexpr int kPanelRowBytes = 16 * kPanelPieces;
inline constexpr int kStepsOfPanel = kPanelPieces * 8 / kMmaDepth;

/// Where piece `piece` of row `row` of a panel lies in shared memory, in pieces: shuffled such that
/// eight rows' same pieces lie in different banks.
__device__ inline int panel_index(int row, int piece) {
  return row * kPanelPieces + (piece ^ (row % 8));
}

/// How a block's warps share a band of tiles: kWarpsAcross beside each other with up to
/// kTilesOfWarp tiles each, and each such group its part of every chunk of kPanelsOfChunk panels.
/// Warps beside each other read the same fragments of the rows, which shared memory gives only so
/// fast: the fewer the better.
template <int kRowsOfBlock, int kTilesOfWarp, int kWarpsAcross, int kPanelsOfChunk,
          int kStagesOfBlock>
struct GemmLayout {
  static constexpr int kRows = kRowsOfBlock;
  static constexpr int kTiles = kTilesOfWarp;
  static constexpr int kAcross = kWarpsAcross;
  static constexpr int kPanels = kPanelsOfChunk;
  static constexpr int kStages = kStagesOfBlock;  ///< chunks in shared memory
  static constexpr int kRowTiles = kRows / kMmaRows;
  static constexpr int kBandTiles = kAcross * kTiles;  ///< at most
  static constexpr int kParts = kGemmWarps / kAcross;  ///< of a chunk
  static constexpr int kSteps = kStepsOfPanel * kPanels / kParts;
  static_assert(kSteps > 0 && kStages > 2);

  /// Of a panel: the rows and then a band's weight rows. Warps read also those that a band lacks,
  /// and do not use them.
  static constexpr int kPanelRows = kRows + kTileRows * kBandTiles;
  static constexpr int kStageBytes = kPanels * kPanelRows * kPanelRowBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;
  /// All parts' sums have room there when they are added up.
  static_assert(kParts * kBandTiles * kTileRows * kRows * static_cast<int>(sizeof(float)) <=
                kSharedBytes);

  static constexpr bool serves(int tiles, int max_shared_bytes) {
    return tiles <= kBandTiles && kSharedBytes <= max_shared_bytes;
  }
  /// Whether parts can be added up while stages fill for the next band: one stage's memory and the
  /// registers are enough.
  static constexpr bool kServesBands = kParts == 1 || (kParts == 2 && kRows * kTiles <= 128);
};

/// Calls body<Layout>(tiles of a band) with the first of the layouts that serves all `tiles` of a
/// block in one band or, where none does, in as few bands as possible.
template <typename... Layouts>
struct GemmLayouts {
  template <typename Body>
  static void dispatch(int tiles, int max_shared_bytes, const Body& body) {
    for (int bands = 1;; ++bands) {
      const int band_tiles = (tiles + bands - 1) / bands;
      const auto call = [&]<typename Layout>() {
        if (!Layout::serves(band_tiles, max_shared_bytes)) return false;
        if (bands > 1 && !Layout::kServesBands) return false;
        body.template operator()<Layout>(band_tiles);
        return true;
      };
      if ((call.template operator()<Layouts>() || ...)) return;
    }
  }

  /// A single tile at least is served on every GPU, whatever the number of bands.
  static_assert(((Layouts::kServesBands && Layouts::serves(1, kMaxSharedBytes)) || ...));
};

}  // namespace quern::kernels
