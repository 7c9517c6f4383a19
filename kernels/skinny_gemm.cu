#include <algorithm>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/gemm_stages.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/skinny_gemm.h"

namespace quern::kernels {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarpSize;
/// Registers and shared memory leave room for the next kernel's block beside this one's.
constexpr int kKernelsAtOnce = 2;
constexpr int kTilesOfWarp = 2;  ///< at most
constexpr int kFewestStages = 3;
constexpr int kMostStages = 6;
constexpr int kMmaDepth = 16;
constexpr int kPiecesOfMma = kMmaDepth / 8;
constexpr int kStepsOfSlab = kSlabPieces / kPiecesOfMma;

/// Pieces that a slab of so many rows takes.
constexpr int stage_pieces(int rows) { return rows * kSlabPieces; }
constexpr int kMostPieces = static_cast<int>(kMaxSharedBytes / sizeof(uint4));

/// Tiles of a band, at most.
template <int kRows>
constexpr int kBandTiles =
    std::min(kWarps * kTilesOfWarp,
             (kMostPieces / kFewestStages / kSlabPieces - kRows) / kTileRows);

struct Plan {
  SkinnyGemmParams params;
  int num_stages = 0;
  int stage_pieces = 0;
};

/// How a block's warps share a band: some of its tiles each, and where there are fewer tiles than
/// warps a part of each slab.
struct WarpShare {
  int tiles;         ///< of the band
  int across;        ///< warps beside each other, with every `across`-th tile; a power of two
  int first_tile;    ///< of this warp
  int first_step;    ///< of a slab
  int steps;         ///< likewise

  __device__ static WarpShare of(int tiles) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int across = tiles > 4 ? 8 : tiles > 2 ? 4 : tiles;
    const int steps = kStepsOfSlab * across / kWarps;
    return {tiles, across, warp % across, warp / across * steps, steps};
  }
  __device__ bool splits_slabs() const { return across < kWarps; }
  __device__ bool has_tile(int i) const { return first_tile + i * across < tiles; }
};

/// A warp's sums: of its tiles, by sixteen rows. A lane has weight rows 2 (lane % 4) and the next
/// of a tile with row lane / 4, then with row lane / 4 + 8.
template <int kRows>
struct WarpSums {
  float at[kTilesOfWarp][kRows / 16][4] = {};
};

template <typename T, int kRows>
__device__ void multiply(const WarpShare& share, const uint4* stage, WarpSums<kRows>& sums) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int last = share.has_tile(1) ? share.first_tile + share.across : share.first_tile;
  // Lanes 0 to 15 name both halves of a step of the first tile's rows, the others the second's.
  const int weight_row =
      kRows + (lane < 16 ? min(share.first_tile, share.tiles - 1) : last) * kTileRows + lane % 8;
#pragma unroll 2
  for (int step = share.first_step; step < share.first_step + share.steps; ++step) {
    const int piece = step * kPiecesOfMma;
    std::uint32_t weight[4];
    load_matrices(stage + slab_index(weight_row, piece + lane / 8 % 2), weight);
#pragma unroll
    for (int i = 0; i < kRows / 16; ++i) {
      std::uint32_t rows[4];
      load_matrices(stage + slab_index(16 * i + lane % 16, piece + lane / 16), rows);
      mma_m16n8k16<T>(sums.at[0][i], rows, {weight[0], weight[1]});
      if (share.has_tile(1)) mma_m16n8k16<T>(sums.at[1][i], rows, {weight[2], weight[3]});
    }
  }
}

/// Stores what a lane has of a tile.
template <int kRows>
__device__ void finish_tile(const Epilogue& epilogue, const TiledWeight& weight, int tile,
                            const GemmRows& rows, const float (&sums)[kRows / 16][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int feature = tile * weight.features_of_tile() + lane % 4 * (weight.gated ? 1 : 2);
  if (feature >= weight.features) return;
  const FeatureEpilogue first(epilogue, feature);
  const FeatureEpilogue second(epilogue, min(feature + 1, weight.features - 1));
#pragma unroll
  for (int i = 0; i < kRows / 8; ++i) {
    const int row = 8 * i + lane / 4;
    if (row >= rows.count) return;
    const float low = sums[i / 2][i % 2 * 2];
    const float high = sums[i / 2][i % 2 * 2 + 1];
    first.finish(rows.first + row, low, high);
    if (!weight.gated && feature + 1 < weight.features) second.finish(rows.first + row, high, 0.0f);
  }
}

/// A block at work.
template <typename T, int kRows>
class SkinnyBlock {
 public:
  using Stages = GemmStages<kRows, kThreads>;

  __device__ SkinnyBlock(const Plan& plan, const TiledWeight& weight, const Bands& bands,
                         const GemmRows& rows, uint4* shared)
      : plan_(plan),
        weight_(weight),
        bands_(bands),
        rows_(rows),
        shared_(shared),
        stages_(weight, rows, bands) {}

  __device__ void run() {
    for (int i = 0; i < plan_.num_stages - 1; ++i) {
      stages_.load_weight(stage(i));
      end_copy_group();
    }
    prefetch_biases(plan_.params.epilogue, std::int64_t{bands_.begin} * weight_.features_of_tile(),
                    min(std::int64_t{bands_.end} * weight_.features_of_tile(),
                        plan_.params.epilogue.out_features));
    wait_for_earlier_kernels();
    for (int i = 0; i < plan_.num_stages - 1; ++i) {
      stages_.load_rows(stage(i));
      end_copy_group();
    }
    for (int band = bands_.begin; band < bands_.end; band += bands_.band_tiles) multiply_band(band);
  }

 private:
  __device__ uint4* stage(int index) const { return shared_ + index * plan_.stage_pieces; }

  __device__ void multiply_band(int band) {
    const WarpShare share = WarpShare::of(bands_.tiles_from(band));
    WarpSums<kRows> sums;
    for (int slab = 0; slab < weight_.num_slabs(); ++slab) {
      wait_for_slab();
      __syncthreads();  // it is there for all, and the stage before it is free
      uint4* free = stage(here_ == 0 ? plan_.num_stages - 1 : here_ - 1);
      stages_.load_weight(free);
      stages_.load_rows(free);
      end_copy_group();
      multiply<T>(share, stage(here_), sums);
      here_ = here_ + 1 == plan_.num_stages ? 0 : here_ + 1;
    }
    if (share.splits_slabs()) {
      add_and_finish(band, share, sums);
    } else {
#pragma unroll
      for (int i = 0; i < kTilesOfWarp; ++i) {
        if (share.has_tile(i)) finish(band + share.first_tile + i * share.across, sums.at[i]);
      }
    }
  }

  /// This thread's copies of the next slab have come.
  __device__ void wait_for_slab() const {
    switch (plan_.num_stages) {
      case 3:
        return wait_for_copy_groups<1>();
      case 4:
        return wait_for_copy_groups<2>();
      case 5:
        return wait_for_copy_groups<3>();
      default:
        return wait_for_copy_groups<kMostStages - 2>();
    }
  }

  __device__ void finish(int tile, const float (&sums)[kRows / 16][4]) const {
    finish_tile<kRows>(plan_.params.epilogue, weight_, tile, rows_, sums);
  }

  /// The same for tiles that several warps have parts of, one each. The stage that was multiplied
  /// last has room for them.
  __device__ void add_and_finish(int band, const WarpShare& share, WarpSums<kRows>& sums) {
    using LaneSums = float[kRows / 16][4];
    auto* parts =
        reinterpret_cast<LaneSums*>(stage(here_ == 0 ? plan_.num_stages - 1 : here_ - 1));
    const int thread = static_cast<int>(threadIdx.x);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kRows / 16; ++i) {
      *reinterpret_cast<float4*>(parts[thread][i]) =
          *reinterpret_cast<const float4*>(sums.at[0][i]);
    }
    __syncthreads();
    if (thread >= share.across * kWarpSize || !share.has_tile(0)) return;
    for (int i = thread + share.across * kWarpSize; i < kThreads; i += share.across * kWarpSize) {
#pragma unroll
      for (int j = 0; j < kRows / 4; ++j) sums.at[0][j / 4][j % 4] += parts[i][j / 4][j % 4];
    }
    finish(band + share.first_tile, sums.at[0]);
  }

  const Plan& plan_;
  const TiledWeight& weight_;
  const Bands& bands_;
  const GemmRows& rows_;
  uint4* shared_;
  Stages stages_;
  int here_ = 0;  ///< the stage that is multiplied next
};

/// grid: shares of the weight, rows.
template <typename T, int kRows>
__global__ void __launch_bounds__(kThreads, kKernelsAtOnce)
    skinny_gemm_kernel(const __grid_constant__ Plan plan) {
  extern __shared__ uint4 shared[];
  let_next_kernel_start();
  const SkinnyGemmParams& p = plan.params;
  const TiledWeight weight{static_cast<const std::byte*>(p.weight),
                           static_cast<int>(p.in_features * sizeof(T)),
                           static_cast<int>(p.epilogue.out_features), p.epilogue.gated};
  const int first_row = static_cast<int>(blockIdx.y) * kRows;
  const GemmRows rows{
      static_cast<const std::byte*>(p.in) + std::int64_t{first_row} * weight.row_bytes, first_row,
      static_cast<int>(min(p.num_rows - first_row, std::int64_t{kRows}))};
  const int tiles = (weight.features + weight.features_of_tile() - 1) / weight.features_of_tile();
  const Bands bands = Bands::of(tiles, kBandTiles<kRows>);
  SkinnyBlock<T, kRows>(plan, weight, bands, rows, shared).run();
}

/// Stages of the size that the largest band needs, as many as there is room for.
template <int kRows>
Plan plan_of(const SkinnyGemmParams& params, int blocks) {
  const std::int64_t weight_rows = params.epilogue.weight_rows();
  const std::int64_t tiles = (weight_rows + kTileRows - 1) / kTileRows;
  const std::int64_t of_block = (tiles + blocks - 1) / blocks;
  Plan plan{params};
  plan.stage_pieces = stage_pieces(
      kRows + kTileRows * static_cast<int>(std::min<std::int64_t>(of_block, kBandTiles<kRows>)));
  plan.num_stages = std::clamp(kMostPieces / plan.stage_pieces, kFewestStages, kMostStages);
  return plan;
}

}  // namespace

bool skinny_gemm_supports(DType dtype, std::int64_t in_features) {
  return (dtype == DType::float16 || dtype == DType::bfloat16) && in_features % 8 == 0;
}

void skinny_gemm(const SkinnyGemmParams& params, cudaStream_t stream) {
  const int rows = params.num_rows <= 16 ? 16 : params.num_rows <= 32 ? 32 : kMaxSkinnyRows;
  const dim3 grid(static_cast<unsigned>(params.num_multiprocessors),
                  static_cast<unsigned>((params.num_rows + rows - 1) / rows));
  dispatch_half(params.dtype, "skinny_gemm", [&]<typename T>() {
    dispatch_value(std::integer_sequence<int, 16, 32, kMaxSkinnyRows>{}, rows, "skinny_gemm",
                   "rows", [&]<int kRows>() {
                     static_assert(kBandTiles<kRows> >= kWarps);
                     const Plan plan = plan_of<kRows>(params, params.num_multiprocessors);
                     launch(skinny_gemm_kernel<T, kRows>,
                            {.grid = grid,
                             .block = dim3(kThreads),
                             .shared_bytes = sizeof(uint4) * static_cast<std::size_t>(
                                                                 plan.num_stages *
                                                                 plan.stage_pieces),
                             .overlaps = params.overlaps},
                            stream, plan);
                   });
  });
}

}  // namespace quern::kernels
