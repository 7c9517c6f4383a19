#pragma once

#include "kernels/common/epilogue.cuh"
#include "kernels/norm/norm_row.cuh"
#include "kernels/persistent/flagged.cuh"
#include "kernels/persistent/persistent_step.h"
#include "kernels/persistent/step_stream.cuh"

namespace quern::kernels {

// A GEMV of one row in a persistent step, by a block of kWarps warps.

/// Tiles whose partial sums are in shared memory at a time.
inline constexpr int kTilesAtOnce = 16;

/// Partial sums of tiles, [tile][warp][row of the tile].
template <int kWarps>
using TileSums = float[kTilesAtOnce][kWarps][kTileRows];

/// The block's shared memory for GEMVs.
template <int kWarps>
struct GemvMemory {
  uint4* row;              ///< the input, zero-padded to whole K blocks
  float* residual;         ///< the residual stream; a thread's groups of four are its own
  TileSums<kWarps>* sums;  ///< two, used in turn, so that one barrier is enough
  int turn = 0;
};

/// Adds an op's input to the block's residual stream.
template <typename T>
__device__ void add_to_residual(const PersistentOp& op, float* residual, std::uint32_t step) {
  constexpr int kAtOnce = 4;  // rows of 4096
  const NormInput& norm = op.gemv.norm;
  const int groups = norm.in_features / 4;
  if (op.in != nullptr) {
    for_each_flagged<kAtOnce>(op.in, groups, step, [&](int group, const uint2& words) {
      const float2 low = unpack<T>(words.x);
      const float2 high = unpack<T>(words.y);
      float4 sum = load_4(residual + 4 * group);
      sum = {sum.x + low.x, sum.y + low.y, sum.z + high.x, sum.w + high.y};
      store_4(residual + 4 * group, sum);
    });
    return;
  }
  for (int group = static_cast<int>(threadIdx.x); group < groups;
       group += static_cast<int>(blockDim.x)) {
    float4 sum = load_4(norm.residual + 4 * group);
    if (norm.delta != nullptr) {
      const float4 delta = load_4(static_cast<const T*>(norm.delta) + 4 * group);
      sum = {sum.x + delta.x, sum.y + delta.y, sum.z + delta.z, sum.w + delta.w};
    }
    store_4(residual + 4 * group, sum);
  }
}

/// Puts the op's input, or its norm, into memory.row. The caller synchronizes.
template <typename T, int kWarps>
__device__ void prepare_row(const PersistentOp& op, std::uint32_t step,
                            const GemvMemory<kWarps>& memory) {
  const GemvParams& p = op.gemv;
  const int in_features = static_cast<int>(p.in_features);
  T* row = reinterpret_cast<T*>(memory.row);
  if (p.in == nullptr) {
    NormInput input = p.norm;
    input.residual = memory.residual;
    input.delta = nullptr;
    NormRow<T, 4, 4096 / (4 * kWarpSize * kWarps)> norm(input);
    add_to_residual<T>(op, memory.residual, step);
    norm.load(0);
    if (op.stores_residual && blockIdx.x == 0) norm.store(p.residual_out);
    norm.store_norm(row);
  } else {
    for_each_flagged<6>(op.in, in_features / 4, step, [&](int group, const uint2& words) {
      reinterpret_cast<uint2*>(row)[group] = words;
    });
  }
  constexpr int kElementsOfKBlock = kKBlockVectors * kElementsOf16Bytes<T>;
  const int padded = (in_features + kElementsOfKBlock - 1) / kElementsOfKBlock * kElementsOfKBlock;
  if (in_features + static_cast<int>(threadIdx.x) < padded)
    row[in_features + threadIdx.x] = T(0.0f);
}

/// Applies the epilogue to the sums of tiles [begin, end) and stores the results. A thread has one
/// feature, of which `epilogue` is.
template <typename T, int kWarps>
__device__ void finish_tiles(const PersistentOp& op, const TiledWeight& weight, int begin, int end,
                             std::uint32_t step, const FeatureEpilogue& epilogue,
                             const TileSums<kWarps>& sums) {
  const int thread = static_cast<int>(threadIdx.x);
  const int per_tile = weight.features_of_tile();
  const int count = (end - begin) * per_tile;
  if (thread / kWarpSize * kWarpSize >= count) return;  // whole warps: they shuffle
  const int tile = min(thread, count - 1) / per_tile;
  const int row = min(thread, count - 1) % per_tile * (weight.gated ? 2 : 1);
  float product = 0.0f;
  float up = 0.0f;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) {
    product += sums[tile][warp][row];
    if (weight.gated) up += sums[tile][warp][row + 1];
  }
  const float value = epilogue.apply(product, up, activate);
  const int feature = begin * per_tile + thread;
  if (op.out != nullptr) {
    const float next = __shfl_down_sync(~0u, value, 1);
    if (thread < count && feature < weight.features && thread % 2 == 0) {
      store_flagged(op.out + feature / 2, pack<T>(value, next), step);
    }
  } else if (thread < count && feature < weight.features) {
    store_element(op.gemv.epilogue.out_dtype, op.gemv.epilogue.out, feature, value);
  }
}

/// The block's share of a GEMV, which is the next weight of `stream`. A warp holds up to
/// kHeldKBlocks K blocks of the row in registers; with more it reads them for each tile.
template <typename T, int kWarps, int kHeldKBlocks>
__device__ void multiply_share(const PersistentOp& op, const StepWeight& own, std::uint32_t step,
                               StepStream<kWarps>& stream, GemvMemory<kWarps>& memory) {
  const TiledWeight weight = own.weight;
  const int begin = own.begin;
  const int end = own.end;
  const KRange range = KRange::of_warp<kWarps>(weight);
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const auto epilogue_of = [&](int tile) {
    const int feature = tile * weight.features_of_tile() + static_cast<int>(threadIdx.x);
    return FeatureEpilogue(op.gemv.epilogue, min(feature, weight.features - 1));
  };
  const FeatureEpilogue first_epilogue = epilogue_of(begin);
  prepare_row<T, kWarps>(op, step, memory);
  __syncthreads();
  const int num_k_blocks = range.end - range.begin;
  const bool is_held = kHeldKBlocks > 0 && num_k_blocks <= kHeldKBlocks;
  std::uint32_t held[kHeldKBlocks + 1][4][4];  // one for kHeldKBlocks = 0
#pragma unroll
  for (int i = 0; i < kHeldKBlocks; ++i) {
    if (is_held && i < num_k_blocks) {
      OneRowSums<T>::load_row(memory.row + (range.begin + i) * kKBlockVectors, held[i]);
    }
  }
  const auto next_fragment = [&] {
    const WeightFragment fragment = PaddedKBlock::load(stream.wait());
    stream.move_on();
    return fragment;
  };
#pragma unroll 1
  for (int batch = begin; batch < end; batch += kTilesAtOnce) {
    const int batch_end = min(end, batch + kTilesAtOnce);
    TileSums<kWarps>& tile_sums = memory.sums[memory.turn];
    memory.turn ^= 1;
#pragma unroll 1
    for (int tile = batch; tile < batch_end; ++tile) {
      OneRowSums<T> sums;
      if (is_held) {
#pragma unroll
        for (int i = 0; i < kHeldKBlocks; ++i) {
          if (i < num_k_blocks) sums.multiply(next_fragment(), held[i]);
        }
      } else {
#pragma unroll 1
        for (int k_block = range.begin; k_block < range.end; ++k_block) {
          std::uint32_t row[4][4];
          sums.load_row(memory.row + k_block * kKBlockVectors, row);
          sums.multiply(next_fragment(), row);
        }
      }
      if (lane < kTileRows / 2) {
        *reinterpret_cast<float2*>(&tile_sums[tile - batch][warp][2 * lane]) = sums.sums();
      }
    }
    __syncthreads();
    finish_tiles<T, kWarps>(op, weight, batch, batch_end, step,
                            batch == begin ? first_epilogue : epilogue_of(batch), tile_sums);
  }
}

}  // namespace quern::kernels
