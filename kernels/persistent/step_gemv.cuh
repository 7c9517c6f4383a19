#pragma once

#include "kernels/common/epilogue.cuh"
#include "kernels/persistent/flagged.cuh"
#include "kernels/persistent/persistent_step.h"
#include "kernels/persistent/step_norm.cuh"
#include "kernels/persistent/step_stream.cuh"

namespace quern::kernels {

// A GEMV of one row in a persistent step, by a block of kWarps warps.

/// Tiles whose partial sums are in shared memory at a time: one thread of a warp for each row.
inline constexpr int kTilesAtOnce = kWarpSize / kTileRows;

/// Partial sums of tiles, [row of a tile][warp].
template <int kWarps>
struct alignas(16) TileSums {
  float at[kTilesAtOnce * kTileRows][kWarps];

  /// Of a row of a tile.
  __device__ float total(int row) const {
    float4 parts[kWarps / 4];
#pragma unroll
    for (int i = 0; i < kWarps / 4; ++i) parts[i] = load_4(&at[row][4 * i]);
    float sum = 0.0f;
#pragma unroll
    for (const float4& part : parts) sum += part.x + part.y + (part.z + part.w);
    return sum;
  }
};

/// The block's shared memory for GEMVs.
template <int kWarps>
struct GemvMemory {
  StepRow row;             ///< the input, zero-padded to whole K blocks
  float* residual;         ///< the residual stream
  TileSums<kWarps>* sums;  ///< two, used in turn, so that one barrier is enough
  Moments (*moments)[kWarps];
  int turn = 0;
};

/// Waits for the op's input and puts it into the row.
template <int kThreads>
__device__ void bring_input(const PersistentOp& op, std::uint32_t step, const StepRow& row) {
  constexpr int kAtOnce = 4;  // loads of a thread that are in flight: rows of 4096
  constexpr int kGroupsOfBlock = 2 * kKBlockVectors;
  static_assert(kThreads % kGroupsOfBlock == 0);
  const int groups = static_cast<int>(op.gemv.in_features) / 4;
  std::uint32_t* place = row.place(threadIdx.x);
#pragma unroll 1
  for (int first = static_cast<int>(threadIdx.x); first < groups; first += kAtOnce * kThreads) {
    const FlaggedPair* from = op.in + 2 * first;
    uint4 words[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i * kThreads < groups) words[i] = load_flagged(from + 2 * i * kThreads);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i * kThreads < groups) {
        row.put(place, wait_for_flags(words[i], from + 2 * i * kThreads, step));
      }
      place += kThreads / kGroupsOfBlock * StepRow::kBlockWords;
    }
  }
}

/// Puts the op's input, or its norm, into memory.row. The caller synchronizes.
template <typename T, int kWarps, int kHeld>
__device__ void prepare_row(const PersistentOp& op, std::uint32_t step,
                            const GemvMemory<kWarps>& memory) {
  const GemvParams& p = op.gemv;
  if (p.in == nullptr) {
    StepNorm<T, kWarps, kHeld> norm(op, memory.residual);
    norm.add_input(step);
    norm.for_each_normed(*memory.moments, [&](int group, const float4& normed) {
      memory.row.put(memory.row.place(static_cast<unsigned>(group)),
                     {pack<T>(normed.x, normed.y), pack<T>(normed.z, normed.w)});
    });
    if (op.stores_residual && blockIdx.x == 0) norm.store(p.residual_out);
  } else {
    bring_input<kWarpSize * kWarps>(op, step, memory.row);
  }
  constexpr unsigned kGroupsOfBlock = 2 * kKBlockVectors;
  const auto groups = static_cast<unsigned>(p.in_features) / 4;
  if (groups % kGroupsOfBlock != 0 && groups % kGroupsOfBlock + threadIdx.x < kGroupsOfBlock) {
    memory.row.put(memory.row.place(groups + threadIdx.x), {});
  }
}

/// Finishes the features that the first warp's threads have of the tiles from `tile` on; their
/// biases are read ahead of their sums.
template <typename T, int kWarps>
class TileFinisher {
 public:
  __device__ TileFinisher(const PersistentOp& op, const StepWeight& weight, int tile)
      : op_(op),
        gated_(weight.gated()),
        feature_(tile * weight.features_of_tile() + static_cast<int>(threadIdx.x)),
        exists_(feature_ < static_cast<int>(op.gemv.epilogue.out_features)) {
    const Epilogue& epilogue = op.gemv.epilogue;
    if (epilogue.bias == nullptr || threadIdx.x >= kWarpSize || !exists_) return;
    bias_ = __ldg(epilogue.bias + feature_);
    if (gated_) up_bias_ = __ldg(epilogue.bias + epilogue.out_features + feature_);
  }

  /// Applies the epilogue and stores the results of `tiles` tiles; run by the first warp.
  __device__ void finish(int tiles, std::uint32_t step, const TileSums<kWarps>& sums) const {
    const int thread = static_cast<int>(threadIdx.x);
    const Epilogue& epilogue = op_.gemv.epilogue;
    float value = 0.0f;
    if (gated_) {
      const int row = 2 * (thread % (kWarpSize / 2));
      value =
          activate(epilogue.activation, sums.total(row) + bias_) * (sums.total(row + 1) + up_bias_);
    } else {
      value = activate(epilogue.activation, sums.total(thread) + bias_);
    }
    const bool exists = exists_ && thread < tiles * (gated_ ? kTileRows / 2 : kTileRows);
    if (op_.out != nullptr) {
      const float next = __shfl_down_sync(~0u, value, 1);
      if (exists && thread % 2 == 0) {
        store_flagged(op_.out + feature_ / 2, pack<T>(value, next), step);
      }
    } else if (exists) {
      store_element(epilogue.out_dtype, epilogue.out, feature_, value);
    }
  }

 private:
  const PersistentOp& op_;
  bool gated_;
  int feature_;
  bool exists_;
  float bias_ = 0.0f;
  float up_bias_ = 0.0f;
};

/// Multiplies the warp's K blocks of tiles, which are the stream's next ones, and stores their
/// partial sums.
template <typename T, int kWarps, typename Stream>
__device__ void multiply_tiles(const StepRow& row, const KRange& range, const RowPart& first_part,
                               int tiles, Stream& stream, TileSums<kWarps>& sums) {
  float* to = &sums.at[threadIdx.x % kWarpSize / 4][threadIdx.x / kWarpSize];
  const int blocks = range.count();
  if (blocks == 0) {
#pragma unroll 1
    for (; tiles > 0; --tiles, to += kTileRows * kWarps) *to = 0.0f;
    return;
  }
  float sum = 0.0f;
  int block = range.begin;
  const auto multiply = [&](const LaneVectors& weight) {
    sum += multiply_k_block<T>(weight, blocks == 1 ? first_part : row.part(block));
    if (++block < range.end) return;
    *to = sum;  // by four lanes alike
    to += kTileRows * kWarps;
    sum = 0.0f;
    block = range.begin;
  };
  int left = tiles * blocks;
#pragma unroll 1
  for (; left >= 2; left -= 2) {
    LaneVectors weights[2];
    stream.take(weights);
    multiply(weights[0]);
    multiply(weights[1]);
  }
  if (left == 0) return;
  LaneVectors weights[1];
  stream.take(weights);
  multiply(weights[0]);
}

/// The block's share of a GEMV, which is the next weight of `stream`.
template <typename T, int kHeld, int kWarps, typename Stream>
__device__ void multiply_share(const PersistentOp& op, const StepWeight& weight, std::uint32_t step,
                               Stream& stream, GemvMemory<kWarps>& memory) {
  const KRange range = KRange::of_warp<kWarps>(weight.num_blocks);
  const int begin = weight.begin;
  const int end = weight.end;
  const bool finishes = threadIdx.x < kWarpSize;
  using Finisher = TileFinisher<T, kWarps>;
  const Finisher first(op, weight, begin);
  prepare_row<T, kWarps, kHeld>(op, step, memory);
  sync_role();
  const RowPart first_part = memory.row.part(range.begin);
#pragma unroll 1
  for (int tile = begin; tile < end; tile += kTilesAtOnce) {
    const int tiles = min(end - tile, kTilesAtOnce);
    TileSums<kWarps>& sums = memory.sums[memory.turn];
    memory.turn ^= 1;
    multiply_tiles<T>(memory.row, range, first_part, tiles, stream, sums);
    sync_role();
    if (!finishes) continue;
    if (tile == begin) {
      first.finish(tiles, step, sums);
    } else {
      Finisher(op, weight, tile).finish(tiles, step, sums);
    }
  }
}

}  // namespace quern::kernels
