#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/common/load.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"

namespace quern::kernels {

/// Weight rows of a tile: N of one MMA.
inline constexpr int kTileRows = 8;
/// Most rows of the batch that a tile is multiplied with.
inline constexpr int kMaxTileRowsOfInput = 8;
/// 16-byte vectors of a weight row in a K block.
inline constexpr int kKBlockVectors = 16;

/// Offset of vector `vector` of row `row` in a K block in shared memory, in vectors. XOR swizzle:
/// the same vector of eight rows lies in different banks.
__device__ inline int k_block_index(int row, int vector) {
  return row * kKBlockVectors + (vector ^ (row % 8));
}

/// The batch's rows in shared memory.
struct SharedRows {
  const uint4* vectors;
  int stride;  ///< vectors from row to row; odd, so that rows lie in different banks
  int num_rows;
};

/// The fragment of a K block of kTileRows weight rows, in the registers of a warp.
struct WeightFragment {
  uint4 at[kKBlockVectors / 4];
};

/// Accumulators of kTileRows weight rows by up to kMaxTileRowsOfInput rows, in the registers of a
/// warp: lane l holds weight rows 2 (l % 4) and the next, for row l / 4. Lanes of rows that do not
/// exist hold garbage.
///
/// An MMA takes 16 rows and there are eight, so they are passed twice: the even of four vectors as
/// the first eight rows, the odd ones as the last eight. With the weight's even vectors the first
/// eight results are valid, with the odd ones the last eight.
template <typename T>
class RowTile {
 public:
  __device__ static WeightFragment load(const uint4* k_block) {
    const int row = static_cast<int>(threadIdx.x) % 8;
    const int vector = static_cast<int>(threadIdx.x) % kWarpSize / 8;
    const int even_first = vector % 2 * 2 + vector / 2;  // 0, 2, 1, 3
    WeightFragment weight;
#pragma unroll
    for (int i = 0; i < kKBlockVectors / 4; ++i) {
      std::uint32_t words[4];
      load_matrices(k_block + k_block_index(row, 4 * i + even_first), words);
      weight.at[i] = {words[0], words[1], words[2], words[3]};
    }
    return weight;
  }

  /// Accumulates a K block; `in` starts at the K block.
  __device__ void multiply(const WeightFragment& weight, const SharedRows& in) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const uint4* row = in.vectors + min(lane % 8, in.num_rows - 1) * in.stride + lane / 8;
#pragma unroll
    for (int i = 0; i < kKBlockVectors / 4; ++i) {
      std::uint32_t rows[4];
      load_matrices(row + 4 * i, rows);
      mma_m16n8k16<T>(even_, rows, {weight.at[i].x, weight.at[i].y});
      mma_m16n8k16<T>(odd_, rows, {weight.at[i].z, weight.at[i].w});
    }
  }

  /// Returns this lane's two sums and resets them.
  __device__ float2 take() {
    const float2 sums{even_[0] + odd_[2], even_[1] + odd_[3]};
    even_[0] = even_[1] = odd_[2] = odd_[3] = 0.0f;
    return sums;
  }

 private:
  float even_[4] = {};
  float odd_[4] = {};
};

/// float32, without tensor cores: lane l multiplies every fourth vector of weight row l / 4.
template <>
class RowTile<float> {
 public:
  __device__ static WeightFragment load(const uint4* k_block) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    WeightFragment weight;
#pragma unroll
    for (int i = 0; i < kKBlockVectors / 4; ++i) {
      weight.at[i] = k_block[k_block_index(lane / 4, 4 * i + lane % 4)];
    }
    return weight;
  }

  __device__ void multiply(const WeightFragment& weight, const SharedRows& in) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
    for (int i = 0; i < kKBlockVectors / 4; ++i) {
      float factors[4];
      unpack_16_bytes<float>(weight.at[i], factors);
#pragma unroll
      for (int row = 0; row < kMaxTileRowsOfInput; ++row) {
        if (row >= in.num_rows) break;
        float values[4];
        unpack_16_bytes<float>(in.vectors[row * in.stride + 4 * i + lane % 4], values);
#pragma unroll
        for (int k = 0; k < 4; ++k) sums_[row] += factors[k] * values[k];
      }
    }
  }

  __device__ float2 take() {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    float2 taken{};
#pragma unroll
    for (int row = 0; row < kMaxTileRowsOfInput; ++row) {
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
  float sums_[kMaxTileRowsOfInput] = {};
};

}  // namespace quern::kernels
