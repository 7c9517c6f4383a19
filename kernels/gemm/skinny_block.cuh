#pragma once

#include <algorithm>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/gemm/gemm_layout.cuh"
#include "kernels/gemm/gemm_stages.cuh"

namespace quern::kernels {

// A block of skinny_gemm() and of deterministic_gemm().

constexpr int kVectorsOfStep = kMmaDepth / 8;
constexpr int kStepBytes = 16 * kVectorsOfStep;
constexpr int kTileBytes = kTileRows * kKSliceRowBytes;

/// This warp's position along N and along K.
template <typename L>
__device__ int warp_n() {
  return static_cast<int>(threadIdx.x) / kWarpSize % L::kWarpsAlongN;
}
template <typename L>
__device__ int warp_k() {
  return static_cast<int>(threadIdx.x) / kWarpSize / L::kWarpsAlongN;
}

/// A warp's accumulators: its tiles by sixteen rows, in the layout of mma.m16n8: a lane holds
/// weight rows 2 (lane % 4) and 2 (lane % 4) + 1 of a tile for row lane / 4, then for row lane / 4
/// + 8.
template <typename L>
struct WarpSums {
  float at[L::kTiles][L::kRowTiles][4] = {};

  /// Calls body(tile of the pass, tile of rows, sums) for the warp's tiles that exist in the pass.
  template <typename Body>
  __device__ void for_each(int pass_tiles, const Body& body) {
#pragma unroll
    for (int i = 0; i < L::kTiles; ++i) {
      const int tile = warp_n<L>() + i * L::kWarpsAlongN;
      if (tile >= pass_tiles) return;
#pragma unroll
      for (int j = 0; j < L::kRowTiles; ++j) body(tile, j, at[i][j]);
    }
  }
};

/// Byte offsets of a lane's ldmatrix rows in a stage; the next MMA step of a K slice is reached by
/// XOR with a multiple of kStepBytes.
struct LaneFragments {
  std::uint32_t weight;
  std::uint32_t rows;

  /// Lanes 0 to 15 address both halves of an MMA step of a tile, the others those of the warp's
  /// next tile.
  template <typename L>
  __device__ static LaneFragments of() {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int step = warp_k<L>() * L::kSteps;
    const int k_slice = step / kStepsOfKSlice * L::kKSliceRows * kKSliceVectors;
    const int vector = step % kStepsOfKSlice * kVectorsOfStep;
    const int weight_row = L::kRows + (warp_n<L>() + lane / 16 * L::kWarpsAlongN) * kTileRows;
    return {16u * (k_slice + k_slice_index(weight_row + lane % 8, vector + lane / 8 % 2)),
            16u * (k_slice + k_slice_index(lane % 16, vector + lane / 16))};
  }
};

/// MMA steps whose fragments a warp keeps in flight: as many as registers allow next to the
/// accumulators.
template <typename L>
constexpr int kStepsThatFit = (L::kRegistersForMma - L::kTiles * L::kRows / 4) /
                              (2 * L::kTiles + L::kRows / 4);
template <typename L>
constexpr int kStepsInFlight = std::min(L::kSteps, kStepsThatFit<L> >= 4   ? 4
                                                   : kStepsThatFit<L> >= 2 ? 2
                                                                           : 1);

/// The fragments of one MMA step.
template <typename L>
struct StepFragments {
  std::uint32_t weight[L::kTiles][2];
  std::uint32_t rows[L::kRowTiles][4];

  __device__ void load(std::uint32_t k_slice, std::uint32_t change, const LaneFragments& lane) {
#pragma unroll
    for (int tile = 0; tile < L::kTiles; tile += 2) {
      const std::uint32_t from =
          ((k_slice + lane.weight) ^ change) + tile * L::kWarpsAlongN * kTileBytes;
      if (tile + 1 == L::kTiles) {
        load_matrices(from, weight[tile]);
      } else {
        std::uint32_t both[4];
        load_matrices(from, both);
        weight[tile][0] = both[0];
        weight[tile][1] = both[1];
        weight[tile + 1][0] = both[2];
        weight[tile + 1][1] = both[3];
      }
    }
#pragma unroll
    for (int j = 0; j < L::kRowTiles; ++j) {
      load_matrices(((k_slice + lane.rows) ^ change) + j * kMmaRows * kKSliceRowBytes, rows[j]);
    }
  }
};

/// Multiplies this warp's K slices of a stage.
template <typename T, typename L>
__device__ void multiply(std::uint32_t stage, const LaneFragments& lane, WarpSums<L>& sums) {
  constexpr int kKSliceBytes = L::kKSliceRows * kKSliceRowBytes;
  constexpr int kAtOnce = kStepsInFlight<L>;
#pragma unroll
  for (int done = 0; done < L::kSteps; done += kAtOnce) {
    StepFragments<L> steps[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      steps[i].load(stage + (done + i) / kStepsOfKSlice * kKSliceBytes,
                    (done + i) % kStepsOfKSlice * kStepBytes, lane);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
      for (int tile = 0; tile < L::kTiles; ++tile) {
#pragma unroll
        for (int j = 0; j < L::kRowTiles; ++j) {
          mma_m16n8k16<T>(sums.at[tile][j], steps[i].rows[j], steps[i].weight[tile]);
        }
      }
    }
  }
}

/// Applies the epilogue to a lane's elements of a tile by sixteen rows and stores them.
__device__ inline void finish_tile(const Epilogue& epilogue, const TiledWeight& weight, int tile,
                                   const GemmRows& rows, int first_row, const float (&sums)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int feature = tile * weight.features_of_tile() + lane % 4 * (weight.gated ? 1 : 2);
  if (feature >= weight.features) return;
  const FeatureEpilogue first(epilogue, feature);
  const FeatureEpilogue second(epilogue, min(feature + 1, weight.features - 1));
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = first_row + 8 * i + lane / 4;
    if (row >= rows.count) return;
    first.finish(rows.first + row, sums[2 * i], sums[2 * i + 1]);
    if (!weight.gated && feature + 1 < weight.features) {
      second.finish(rows.first + row, sums[2 * i + 1], 0.0f);
    }
  }
}

__device__ inline void add(float (&sums)[4], const float4& more) {
  sums[0] += more.x;
  sums[1] += more.y;
  sums[2] += more.z;
  sums[3] += more.w;
}

/// Rows that earlier kernels have written to memory.
struct RowsInMemory {
  __device__ void prepare() const {}
  template <typename L>
  __device__ void load(const GemmStages<L>& stages, int k_tile, uint4* stage) const {
    stages.load_rows(k_tile, stage);
  }
};

/// One thread block of the GEMM. Rows: where the batch's rows come from, as RowsInMemory.
template <typename T, typename L, typename Rows>
class SkinnyBlock {
 public:
  __device__ SkinnyBlock(const Epilogue& epilogue, const TiledWeight& weight, const Passes& passes,
                         const GemmRows& rows, Rows& source, uint4* shared)
      : epilogue_(epilogue),
        weight_(weight),
        passes_(passes),
        rows_(rows),
        source_(source),
        shared_(shared),
        stages_(weight, rows, passes) {}

  __device__ void run() {
    for (int i = 0; i < L::kStages - 1; ++i) {
      stages_.load_weight(stage(i));
      end_copy_group();
    }
    prefetch_biases(
        epilogue_, std::int64_t{passes_.begin} * weight_.features_of_tile(),
        min(std::int64_t{passes_.end} * weight_.features_of_tile(), epilogue_.out_features));
    wait_for_earlier_kernels();
    source_.prepare();
    int k_tile = stages_.first_k_tile();
    for (int i = 0; i < L::kStages - 1; ++i) {
      source_.load(stages_, k_tile, stage(i));
      end_copy_group();
      k_tile = stages_.k_tile_after(k_tile);
    }
    for (int pass = passes_.begin; pass < passes_.end; pass += passes_.pass_tiles)
      multiply_pass(pass);
  }

 private:
  __device__ uint4* stage(int index) const { return shared_ + index * (L::kStageBytes / 16); }
  __device__ static int before(int stage) { return (stage == 0 ? L::kStages : stage) - 1; }

  __device__ void multiply_pass(int pass) {
    const auto lane = LaneFragments::of<L>();
    WarpSums<L> sums;
    for (int i = 0; i < stages_.num_k_tiles(); ++i) {
      wait_for_copy_groups<L::kStages - 2>();
      __syncthreads();  // this K tile has arrived, and the previous one's stage is free
      if (!stages_.at_end()) {
        uint4* free = stage(before(here_));
        source_.load(stages_, stages_.k_tile(), free);
        stages_.load_weight(free);
      }
      end_copy_group();
      multiply<T, L>(shared_address(stage(here_)), lane, sums);
      here_ = here_ + 1 == L::kStages ? 0 : here_ + 1;
    }
    const int tiles = passes_.tiles_from(pass);
    if constexpr (L::kWarpsK == 1) {
      sums.for_each(tiles, [&](int tile, int row_tile, const float(&own)[4]) {
        finish(pass + tile, row_tile, own);
      });
    } else {
      if (passes_.is_only_pass()) return reduce_splits_and_finish(pass, tiles, sums);
      if constexpr (L::kServesPasses) exchange_splits_and_finish(pass, tiles, sums);
    }
  }

  __device__ void finish(int tile, int row_tile, const float (&sums)[4]) const {
    finish_tile(epilogue_, weight_, tile, rows_, row_tile * kMmaRows, sums);
  }

  /// Reduces the K splits through shared memory and stores the result; for a single pass, when all
  /// stages are free.
  __device__ void reduce_splits_and_finish(int pass, int tiles, WarpSums<L>& sums) const {
    auto* parts = reinterpret_cast<float4*>(shared_) + static_cast<int>(threadIdx.x) % kWarpSize;
    const int units = tiles * L::kRowTiles;
    wait_for_copies();  // with fewer K tiles than stages, copies of unused rows are still in flight
    __syncthreads();
    sums.for_each(tiles, [&](int tile, int row_tile, const float(&own)[4]) {
      const int unit = tile * L::kRowTiles + row_tile;
      parts[(warp_k<L>() * units + unit) * kWarpSize] = {own[0], own[1], own[2], own[3]};
    });
    __syncthreads();
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    for (int unit = warp; unit < units; unit += kGemmWarps) {
      float total[4] = {};
#pragma unroll
      for (int part = 0; part < L::kWarpsK; ++part) {
        add(total, parts[(part * units + unit) * kWarpSize]);
      }
      finish(pass + unit / L::kRowTiles, unit % L::kRowTiles, total);
    }
  }

  /// The same for two K splits while the other stages fill for the next pass: each warp finishes
  /// every other of its accumulators; the stage that was multiplied last holds the rest.
  __device__ void exchange_splits_and_finish(int pass, int tiles, WarpSums<L>& sums) const {
    auto* parts =
        reinterpret_cast<float4*>(stage(before(here_))) + static_cast<int>(threadIdx.x) % kWarpSize;
    const auto unit_of = [](int tile, int row_tile) { return tile * L::kRowTiles + row_tile; };
    const auto is_own = [](int tile, int row_tile) {
      return (tile / L::kWarpsAlongN * L::kRowTiles + row_tile) % L::kWarpsK == warp_k<L>();
    };
    __syncthreads();
    sums.for_each(tiles, [&](int tile, int row_tile, const float(&own)[4]) {
      if (is_own(tile, row_tile)) return;
      parts[unit_of(tile, row_tile) * kWarpSize] = {own[0], own[1], own[2], own[3]};
    });
    __syncthreads();
    sums.for_each(tiles, [&](int tile, int row_tile, float(&own)[4]) {
      if (!is_own(tile, row_tile)) return;
      add(own, parts[unit_of(tile, row_tile) * kWarpSize]);
      finish(pass + tile, row_tile, own);
    });
  }

  const Epilogue& epilogue_;
  const TiledWeight& weight_;
  const Passes& passes_;
  const GemmRows& rows_;
  Rows& source_;
  uint4* shared_;
  GemmStages<L> stages_;
  int here_ = 0;  ///< the stage that is multiplied next
};

/// Runs a block of a launch. Grid: N across the multiprocessors; blocks of M. Params:
/// SkinnyGemmParams or what is derived from it.
template <typename T, typename L, typename Params, typename Rows>
__device__ void run_skinny_block(const Params& p, int pass_tiles, Rows& source, uint4* shared) {
  const TiledWeight weight{static_cast<const std::byte*>(p.weight),
                           static_cast<int>(p.in_features * sizeof(T)),
                           static_cast<int>(p.epilogue.out_features), p.epilogue.gated};
  const int first_row = static_cast<int>(blockIdx.y) * L::kRows;
  const GemmRows rows{
      static_cast<const std::byte*>(p.in) + std::int64_t{first_row} * weight.row_bytes, first_row,
      static_cast<int>(min(p.num_rows - first_row, std::int64_t{L::kRows}))};
  const int tiles = (weight.features + weight.features_of_tile() - 1) / weight.features_of_tile();
  const Passes passes = Passes::of(tiles, pass_tiles);
  SkinnyBlock<T, L, Rows>(p.epilogue, weight, passes, rows, source, shared).run();
}

/// Tiles of eight weight rows that a block has, at most.
inline int tiles_of_block(const Epilogue& epilogue, int num_multiprocessors) {
  const auto tiles = static_cast<int>((epilogue.weight_rows() + kTileRows - 1) / kTileRows);
  return (tiles + num_multiprocessors - 1) / num_multiprocessors;
}

}  // namespace quern::kernels
