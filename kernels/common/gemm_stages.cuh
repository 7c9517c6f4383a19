#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/weight_stream.cuh"

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
  __device__ int tiles_from(int first) const { return min(band_tiles, end - first); }
};

/// Up to kRows of the rows that a weight is multiplied with.
struct GemmRows {
  const std::byte* data;  ///< of the first
  int first;
  int count;
};

/// Brings slabs of K to shared memory, band by band: of a band's weight rows, and of the kRows rows
/// beside them. A stage has first the rows and then the weight rows, each a slab long and laid out
/// as slab_index() says. K is filled up with zeros; rows that do not exist leave in the stage what
/// was there: what they give is not used.
template <int kRows, int kThreads>
class GemmStages {
 public:
  __device__ GemmStages(const TiledWeight& weight, const GemmRows& rows, const Bands& bands)
      : weight_(weight), rows_(rows), bands_(bands), next_{bands.begin, 0}, next_of_rows_(next_) {
    enter_band();
  }

  /// Asks for the next slab's weight rows. Does not end the group of copies.
  __device__ void load_weight(uint4* stage) {
    if (next_.band >= bands_.end) return;
    const bool inside = is_inside(next_.slab);
#pragma unroll 4
    for (int i = 0; i < weight_copies_; ++i) {
      copy_16_bytes_async(stage + slab_index(kRows + row() + i * kRowsAtOnce, piece()),
                          weight_row_ + i * step(), inside);
    }
    weight_row_ += kSlabBytes;
    if (next_.step(bands_, weight_.num_slabs())) enter_band();
  }

  /// The same for the rows beside them.
  __device__ void load_rows(uint4* stage) {
    if (next_of_rows_.band >= bands_.end) return;
    const bool inside = is_inside(next_of_rows_.slab);
    const std::byte* source = rows_.data + std::int64_t{row()} * weight_.row_bytes +
                              next_of_rows_.slab * kSlabBytes + 16 * piece();
#pragma unroll
    for (int i = 0; i < kRows / kRowsAtOnce; ++i) {
      if (row() + i * kRowsAtOnce < rows_.count) {
        copy_16_bytes_async(stage + slab_index(row() + i * kRowsAtOnce, piece()),
                            source + std::int64_t{i} * kRowsAtOnce * weight_.row_bytes, inside);
      }
    }
    next_of_rows_.step(bands_, weight_.num_slabs());
  }

 private:
  static constexpr int kSlabBytes = 16 * kSlabPieces;
  static constexpr int kRowsAtOnce = kThreads / kSlabPieces;  ///< that one copy of all brings
  static_assert(kRows % kRowsAtOnce == 0 && kRowsAtOnce % kTileRows == 0);

  struct Position {
    int band;  ///< its first tile
    int slab;

    /// On to the next slab; true where it is another band's.
    __device__ bool step(const Bands& bands, int num_slabs) {
      if (++slab < num_slabs) return false;
      slab = 0;
      band += bands.band_tiles;
      return true;
    }
  };

  __device__ static int row() { return static_cast<int>(threadIdx.x) / kSlabPieces; }
  __device__ static int piece() { return static_cast<int>(threadIdx.x) % kSlabPieces; }
  __device__ bool is_inside(int slab) const {
    return slab * kSlabPieces + piece() < weight_.num_pieces();
  }
  /// Bytes between the weight rows of one thread's copies.
  __device__ std::int64_t step() const {
    return std::int64_t{kRowsAtOnce} / (weight_.gated ? 2 : 1) * weight_.row_bytes;
  }

  /// This thread's first copy of a band, and how many there are of rows that exist.
  __device__ void enter_band() {
    const int tile = next_.band + row() / kTileRows;
    const int place = row() % kTileRows;
    const int feature = tile * weight_.features_of_tile() + (weight_.gated ? place / 2 : place);
    const std::int64_t weight_row =
        feature + (weight_.gated ? std::int64_t{place % 2} * weight_.features : 0);
    weight_row_ = weight_.data + weight_row * weight_.row_bytes + 16 * piece();
    const int end = min(weight_.features,
                        (next_.band + bands_.tiles_from(next_.band)) * weight_.features_of_tile());
    const int features_at_once = kRowsAtOnce / (weight_.gated ? 2 : 1);
    weight_copies_ = max(0, (end - feature + features_at_once - 1) / features_at_once);
  }

  const TiledWeight& weight_;
  const GemmRows& rows_;
  const Bands& bands_;
  Position next_;
  Position next_of_rows_;
  const std::byte* weight_row_ = nullptr;
  int weight_copies_ = 0;
};

}  // namespace quern::kernels
