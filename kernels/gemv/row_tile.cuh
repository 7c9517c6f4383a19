#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/common/load.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"

namespace quern::kernels {

/// Weight rows that one warp multiplies at a time.
inline constexpr int kTileRows = 8;
/// Rows that they are multiplied with, at most.
inline constexpr int kMaxTileColumns = 8;
/// 16-byte pieces of a weight row that are multiplied at a time: a slab.
inline constexpr int kSlabPieces = 16;

/// Where piece `piece` of row `row` of a slab lies in shared memory, in pieces: shuffled such that
/// eight rows' same pieces lie in different banks.
__device__ inline int slab_index(int row, int piece) {
  return row * kSlabPieces + (piece ^ (row % 8));
}

/// Rows of shared memory that weight rows are multiplied with.
struct SharedRows {
  const uint4* pieces;
  int stride;  ///< pieces from row to row; odd, so that rows lie in different banks
  int num_rows;
};

/// A slab of kTileRows weight rows in the registers of a warp.
struct SlabFragment {
  uint4 at[kSlabPieces / 4];
};

/// What kTileRows weight rows give with up to kMaxTileColumns rows, in the registers of a warp:
/// lane l has those of weight rows 2 (l % 4) and the next, with row l / 4. The lanes of rows that
/// do not exist have something.
///
/// An mma takes 16 rows, and here are eight: so it gets them twice, first the even ones of four
/// pieces and then the odd ones. Multiplied with the weight's even pieces the first eight of its
/// results are right, with the odd ones the last eight.
template <typename T>
class RowTile {
 public:
  __device__ static SlabFragment load(const uint4* slab) {
    const int row = static_cast<int>(threadIdx.x) % 8;
    const int piece = static_cast<int>(threadIdx.x) % kWarpSize / 8;
    const int even_first = piece % 2 * 2 + piece / 2;  // 0, 2, 1, 3
    SlabFragment weight;
#pragma unroll
    for (int i = 0; i < kSlabPieces / 4; ++i) {
      std::uint32_t words[4];
      load_matrices(slab + slab_index(row, 4 * i + even_first), words);
      weight.at[i] = {words[0], words[1], words[2], words[3]};
    }
    return weight;
  }

  /// Adds what a slab gives; `in` begins at the slab.
  __device__ void multiply(const SlabFragment& weight, const SharedRows& in) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const uint4* row = in.pieces + min(lane % 8, in.num_rows - 1) * in.stride + lane / 8;
#pragma unroll
    for (int i = 0; i < kSlabPieces / 4; ++i) {
      std::uint32_t rows[4];
      load_matrices(row + 4 * i, rows);
      mma_m16n8k16<T>(even_, rows, {weight.at[i].x, weight.at[i].y});
      mma_m16n8k16<T>(odd_, rows, {weight.at[i].z, weight.at[i].w});
    }
  }

  /// This lane's two sums; begins anew.
  __device__ float2 take() {
    const float2 sums{even_[0] + odd_[2], even_[1] + odd_[3]};
    even_[0] = even_[1] = odd_[2] = odd_[3] = 0.0f;
    return sums;
  }

 private:
  float even_[4] = {};
  float odd_[4] = {};
};

/// float32, without tensor cores: lane l multiplies every fourth piece of weight row l / 4.
template <>
class RowTile<float> {
 public:
  __device__ static SlabFragment load(const uint4* slab) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    SlabFragment weight;
#pragma unroll
    for (int i = 0; i < kSlabPieces / 4; ++i) {
      weight.at[i] = slab[slab_index(lane / 4, 4 * i + lane % 4)];
    }
    return weight;
  }

  __device__ void multiply(const SlabFragment& weight, const SharedRows& in) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
    for (int i = 0; i < kSlabPieces / 4; ++i) {
      float factors[4];
      unpack_16_bytes<float>(weight.at[i], factors);
#pragma unroll
      for (int row = 0; row < kMaxTileColumns; ++row) {
        if (row >= in.num_rows) break;
        float values[4];
        unpack_16_bytes<float>(in.pieces[row * in.stride + 4 * i + lane % 4], values);
#pragma unroll
        for (int k = 0; k < 4; ++k) sums_[row] += factors[k] * values[k];
      }
    }
  }

  __device__ float2 take() {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    float2 taken{};
#pragma unroll
    for (int row = 0; row < kMaxTileColumns; ++row) {
      float sum = sums_[row];
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      const float first = __shfl_sync(~0u, sum, lane % 4 * 8);
      const float second = __shfl_sync(~0u, sum, lane % 4 * 8 + 4);
      if (lane / 4 == row) taken = {first, second};
      sums_[row] = 0.0f;
    }
    return taken;
  }

 private:
  float sums_[kMaxTileColumns] = {};
};

}  // namespace quern::kernels
