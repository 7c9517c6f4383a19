#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/gemm/gemm_layout.cuh"
#include "kernels/gemv/weight_stream.cuh"

namespace quern::kernels {

/// A block's tiles of eight weight rows, split into passes of nearly equal size that run
/// sequentially.
struct Passes {
  int begin;  ///< the first tile
  int end;
  int pass_tiles;

  __device__ static Passes of(int tiles, int most_at_once) {
    const int blocks = static_cast<int>(gridDim.x);
    const int block = static_cast<int>(blockIdx.x);
    const int begin = tiles / blocks * block + min(block, tiles % blocks);
    const int count = tiles / blocks + (block < tiles % blocks ? 1 : 0);
    const int passes = max(1, (count + most_at_once - 1) / most_at_once);
    return {begin, begin + count, max(1, (count + passes - 1) / passes)};
  }
  __device__ bool is_only_pass() const { return begin + pass_tiles >= end; }
  __device__ int tiles_from(int first) const { return min(pass_tiles, end - first); }
};

/// A range of the batch's rows.
struct GemmRows {
  const std::byte* data;  ///< the first row
  int first;
  int count;
};

/// Copies K tiles to the stages in shared memory (cp.async), pass by pass. A stage holds a K tile
/// of the rows and of the pass's weight rows, slice by slice, swizzled by k_slice_index(). The end
/// of K is zero-filled; rows that do not exist are not copied, and their products are not used.
/// Blocks start at different K tiles, so that they do not all hit the same memory channels.
template <typename Layout>
class GemmStages {
 public:
  static constexpr int kKTileBytes = Layout::kKSlices * kKSliceRowBytes;  ///< per row

  __device__ GemmStages(const TiledWeight& weight, const GemmRows& rows, const Passes& passes)
      : weight_(weight),
        passes_(passes),
        num_k_tiles_((weight.row_bytes + kKTileBytes - 1) / kKTileBytes),
        place_(vector() / kKSliceVectors * Layout::kKSliceRows * kKSliceVectors +
               k_slice_index(row(), vector() % kKSliceVectors)),
        rows_(rows.data + std::int64_t{row()} * weight.row_bytes + 16 * vector()),
        row_copies_((rows.count - row() + kRowsAtOnce - 1) / kRowsAtOnce),
        pass_(passes.begin),
        k_tile_(first_k_tile()) {
    enter_pass();
  }

  __device__ int num_k_tiles() const { return num_k_tiles_; }
  /// The K tile that this block starts with, and the one that follows a K tile.
  __device__ int first_k_tile() const { return static_cast<int>(blockIdx.x) % num_k_tiles_; }
  __device__ int k_tile_after(int k_tile) const {
    return k_tile + 1 == num_k_tiles_ ? 0 : k_tile + 1;
  }

  /// The K tile whose weight rows load_weight() copies next.
  __device__ int k_tile() const { return k_tile_; }
  __device__ bool at_end() const { return pass_ >= passes_.end; }

  /// Issues the copies of that K tile of the pass's weight rows and moves on. Commits no group.
  __device__ void load_weight(uint4* stage) {
    if (at_end()) return;
    copy<Layout::kPassTiles * kTileRows>(stage + place_ + Layout::kRows * kKSliceVectors,
                                         weight_row_, kRowsAtOnce / (weight_.gated ? 2 : 1),
                                         weight_copies_, k_tile_);
    k_tile_ = k_tile_after(k_tile_);
    if (--left_ > 0) return;
    pass_ += passes_.pass_tiles;
    enter_pass();
  }

  /// Issues the copies of a K tile of the rows. Commits no group.
  __device__ void load_rows(int k_tile, uint4* stage) const {
    copy<Layout::kRows>(stage + place_, rows_, kRowsAtOnce, row_copies_, k_tile);
  }

  /// The same for a single row that is in shared memory, at once.
  __device__ void store_row(const uint4* shared_row, int k_tile, uint4* stage) const {
    if (row() != 0) return;
    const int at = k_tile * kVectors + vector();
    stage[place_] = 16 * at < weight_.row_bytes ? shared_row[at] : uint4{};
  }

 private:
  static constexpr int kVectors = Layout::kKSlices * kKSliceVectors;  ///< per row of a K tile
  /// Rows that one copy by every thread covers.
  static constexpr int kRowsAtOnce = kGemmWarps * kWarpSize / kVectors;
  static_assert(kRowsAtOnce % kTileRows == 0);

  __device__ static int row() { return static_cast<int>(threadIdx.x) / kVectors; }
  __device__ static int vector() { return static_cast<int>(threadIdx.x) % kVectors; }

  /// Issues this thread's `count` copies, of every `step`-th row of a matrix. kMostRows: bound of
  /// all rows.
  template <int kMostRows>
  __device__ void copy(uint4* to, const std::byte* from, int step, int count, int k_tile) const {
    const int offset = k_tile * kKTileBytes;
    const bool inside = offset + 16 * vector() < weight_.row_bytes;
    const std::int64_t step_bytes = std::int64_t{step} * weight_.row_bytes;
    from += offset;
#pragma unroll
    for (int i = 0; i < (kMostRows + kRowsAtOnce - 1) / kRowsAtOnce; ++i) {
      if (i >= count) break;
      copy_16_bytes_async(to + i * (kRowsAtOnce * kKSliceVectors), from, inside);
      from += step_bytes;
    }
  }

  /// This thread's first copy of a pass, and the number of its rows that exist.
  __device__ void enter_pass() {
    left_ = num_k_tiles_;
    const int features_of_tile = weight_.features_of_tile();
    const int place = row() % kTileRows;
    const int feature =
        (pass_ + row() / kTileRows) * features_of_tile + (weight_.gated ? place / 2 : place);
    const std::int64_t weight_row =
        feature + (weight_.gated ? std::int64_t{place % 2} * weight_.features : 0);
    weight_row_ = weight_.data + weight_row * weight_.row_bytes + 16 * vector();
    const int end = min(weight_.features, (pass_ + passes_.tiles_from(pass_)) * features_of_tile);
    const int features_at_once = kRowsAtOnce / kTileRows * features_of_tile;
    weight_copies_ = (end - feature + features_at_once - 1) / features_at_once;
  }

  const TiledWeight& weight_;
  const Passes& passes_;
  int num_k_tiles_;
  int place_;  ///< of this thread's first copy within a stage
  const std::byte* rows_;
  int row_copies_;
  int pass_;      ///< the pass that is copied: its first tile
  int k_tile_;    ///< of that pass
  int left_ = 0;  ///< K tiles left in the pass
  const std::byte* weight_row_ = nullptr;
  int weight_copies_ = 0;
};

}  // namespace quern::kernels
