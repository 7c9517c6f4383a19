#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/gemm/gemm_layout.cuh"
#include "kernels/gemv/weight_stream.cuh"

namespace quern::kernels {

/// A block's tiles of eight weight rows, in bands of nearly equal size that are multiplied one
/// after the other.
struct Bands {
  int begin;  ///< the first tile
  int end;
  int band_tiles;

  __device__ static Bands of(int tiles, int most_at_once) {
    const int blocks = static_cast<int>(gridDim.x);
    const int block = static_cast<int>(blockIdx.x);
    const int begin = tiles / blocks * block + min(block, tiles % blocks);
    const int count = tiles / blocks + (block < tiles % blocks ? 1 : 0);
    const int bands = max(1, (count + most_at_once - 1) / most_at_once);
    return {begin, begin + count, max(1, (count + bands - 1) / bands)};
  }
  __device__ bool is_single() const { return begin + band_tiles >= end; }
  __device__ int tiles_from(int first) const { return min(band_tiles, end - first); }
};

/// Some of the rows that a weight is multiplied with.
struct GemmRows {
  const std::byte* data;  ///< of the first
  int first;
  int count;
};

/// Brings K in chunks to stages of shared memory, band by band. A stage has a chunk of the layout's
/// rows and then of the band's weight rows, panel by panel, each as panel_index() says. K is filled
/// up with zeros; rows that do not exist leave in the stage what was there: what they give is not
/// used. Blocks begin at different chunks: at the same ones they would all ask the same few memory
/// channels at a time.
template <typename Layout>
class GemmStages {
 public:
  static constexpr int kChunkBytes = Layout::kPanels * kPanelRowBytes;  ///< of a row

  __device__ GemmStages(const TiledWeight& weight, const GemmRows& rows, const Bands& bands)
      : weight_(weight),
        bands_(bands),
        num_chunks_((weight.row_bytes + kChunkBytes - 1) / kChunkBytes),
        place_(piece() / kPanelPieces * Layout::kPanelRows * kPanelPieces +
               panel_index(row(), piece() % kPanelPieces)),
        rows_(rows.data + std::int64_t{row()} * weight.row_bytes + 16 * piece()),
        row_copies_((rows.count - row() + kRowsAtOnce - 1) / kRowsAtOnce),
        band_(bands.begin),
        chunk_(first_chunk()) {
    enter_band();
  }

  __device__ int num_chunks() const { return num_chunks_; }
  /// The chunk that the block begins with, and the one after another.
  __device__ int first_chunk() const { return static_cast<int>(blockIdx.x) % num_chunks_; }
  __device__ int chunk_after(int chunk) const { return chunk + 1 == num_chunks_ ? 0 : chunk + 1; }

  /// The chunk whose weight rows load_weight() asks for next.
  __device__ int chunk() const { return chunk_; }
  __device__ bool at_end() const { return band_ >= bands_.end; }

  /// Asks for that chunk of the band's weight rows and moves on. Ends no group of copies.
  __device__ void load_weight(uint4* stage) {
    if (at_end()) return;
    copy<Layout::kBandTiles * kTileRows>(stage + place_ + Layout::kRows * kPanelPieces, weight_row_,
                                         kRowsAtOnce / (weight_.gated ? 2 : 1), weight_copies_,
                                         chunk_);
    chunk_ = chunk_after(chunk_);
    if (--left_ > 0) return;
    band_ += bands_.band_tiles;
    enter_band();
  }

  /// Asks for a chunk of the rows. Ends no group of copies.
  __device__ void load_rows(int chunk, uint4* stage) const {
    copy<Layout::kRows>(stage + place_, rows_, kRowsAtOnce, row_copies_, chunk);
  }

 private:
  static constexpr int kPieces = Layout::kPanels * kPanelPieces;  ///< of a chunk's row
  /// Rows that one copy of all threads brings.
  static constexpr int kRowsAtOnce = kGemmWarps * kWarpSize / kPieces;
  static_assert(kRowsAtOnce % kTileRows == 0);

  __device__ static int row() { return static_cast<int>(threadIdx.x) / kPieces; }
  __device__ static int piece() { return static_cast<int>(threadIdx.x) % kPieces; }

  /// `count` copies of this thread, from every `step`-th row of a matrix. kMostRows: of all.
  template <int kMostRows>
  __device__ void copy(uint4* to, const std::byte* from, int step, int count, int chunk) const {
    const int offset = chunk * kChunkBytes;
    const bool inside = offset + 16 * piece() < weight_.row_bytes;
    const std::int64_t step_bytes = std::int64_t{step} * weight_.row_bytes;
    from += offset;
#pragma unroll
    for (int i = 0; i < (kMostRows + kRowsAtOnce - 1) / kRowsAtOnce; ++i) {
      if (i >= count) break;
      copy_16_bytes_async(to + i * (kRowsAtOnce * kPanelPieces), from, inside);
      from += step_bytes;
    }
  }

  /// This thread's first copy of a band, and how many there are of rows that exist.
  __device__ void enter_band() {
    left_ = num_chunks_;
    const int features_of_tile = weight_.features_of_tile();
    const int place = row() % kTileRows;
    const int feature =
        (band_ + row() / kTileRows) * features_of_tile + (weight_.gated ? place / 2 : place);
    const std::int64_t weight_row =
        feature + (weight_.gated ? std::int64_t{place % 2} * weight_.features : 0);
    weight_row_ = weight_.data + weight_row * weight_.row_bytes + 16 * piece();
    const int end = min(weight_.features, (band_ + bands_.tiles_from(band_)) * features_of_tile);
    const int features_at_once = kRowsAtOnce / kTileRows * features_of_tile;
    weight_copies_ = (end - feature + features_at_once - 1) / features_at_once;
  }

  const TiledWeight& weight_;
  const Bands& bands_;
  int num_chunks_;
  int place_;  ///< of this thread's first copy in a stage
  const std::byte* rows_;
  int row_copies_;
  int band_;      ///< that is asked for, its first tile
  int chunk_;     ///< of it
  int left_ = 0;  ///< chunks of the band
  const std::byte* weight_row_ = nullptr;
  int weight_copies_ = 0;
};

}  // namespace quern::kernels
