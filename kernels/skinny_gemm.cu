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
/// Registers leave room for blocks of other kernels beside this one's.
constexpr int kKernelsAtOnce = 2;
constexpr int kTilesOfWarp = 2;  ///< at most
static_assert(kWarps * kTilesOfWarp <= kMaxBandTiles);
constexpr int kStages = 3;
constexpr int kMostSlabs = 2;  ///< of a chunk
constexpr int kMmaDepth = 16;
constexpr int kPiecesOfMma = kMmaDepth / 8;
constexpr int kStepsOfSlab = kSlabPieces / kPiecesOfMma;
constexpr int kStepBytes = 16 * kPiecesOfMma;
constexpr int kRowBytes = 16 * kSlabPieces;  ///< of a slab
/// Rows of slabs that a stage has room for.
constexpr int kStageRows = static_cast<int>(kMaxSharedBytes) / kStages / kRowBytes;

/// Tiles of a band, at most.
template <int kRows, int kSlabs>
constexpr int kBandTiles = std::min(kWarps* kTilesOfWarp,
                                    (kStageRows / kSlabs - kRows) / kTileRows);

struct Plan {
  SkinnyGemmParams params;
  int slab_rows = 0;  ///< of a stage
};

/// How a block's warps share a band: some of its tiles each, and where there are fewer tiles than
/// warps a part of each slab.
struct WarpShare {
  int tiles;       ///< of the band
  int across;      ///< warps beside each other, with every `across`-th tile; a power of two
  int first_tile;  ///< of this warp
  int first_step;  ///< of a slab

  __device__ static WarpShare of(int tiles) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int across = tiles > 4 ? 8 : tiles > 2 ? 4 : tiles;
    const int steps = kStepsOfSlab * across / kWarps;
    return {tiles, across, warp % across, warp / across * steps};
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

/// Where a lane finds its share's fragments in a slab, in bytes of shared memory: a step is
/// kStepBytes on, by an exclusive or.
struct LaneFragments {
  std::uint32_t weight;
  std::uint32_t rows;

  /// Lanes 0 to 15 name both halves of a step of the first tile's rows, the others the second's.
  template <int kRows>
  __device__ static LaneFragments of(const WarpShare& share) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int tile = min(share.first_tile + lane / 16 * share.across, share.tiles - 1);
    const int piece = share.first_step * kPiecesOfMma;
    const int weight_row = kRows + tile * kTileRows + lane % 8;
    return {16u * slab_index(weight_row, piece + lane / 8 % 2),
            16u * slab_index(lane % 16, piece + lane / 16)};
  }
};

/// Steps whose fragments a warp holds at a time, so that it need not wait for each by itself.
template <int kRows>
constexpr int kStepsAtOnce = kRows <= 32 ? 4 : 2;

/// Multiplies kSteps steps of a slab. kTiles: of the warp.
template <typename T, int kRows, int kSteps, int kTiles>
__device__ void multiply_steps(std::uint32_t slab, const LaneFragments& lane,
                               WarpSums<kRows>& sums) {
  constexpr int kAtOnce = kSteps < kStepsAtOnce<kRows> ? kSteps : kStepsAtOnce<kRows>;
#pragma unroll
  for (int done = 0; done < kSteps; done += kAtOnce) {
    std::uint32_t weight[kAtOnce][4];
    std::uint32_t rows[kAtOnce][kRows / 16][4];
#pragma unroll
    for (int step = 0; step < kAtOnce; ++step) {
      const std::uint32_t change = (done + step) * kStepBytes;
      load_matrices((slab + lane.weight) ^ change, weight[step]);
#pragma unroll
      for (int i = 0; i < kRows / 16; ++i) {
        load_matrices(((slab + lane.rows) ^ change) + 16 * i * kRowBytes, rows[step][i]);
      }
    }
#pragma unroll
    for (int step = 0; step < kAtOnce; ++step) {
#pragma unroll
      for (int i = 0; i < kRows / 16; ++i) {
        mma_m16n8k16<T>(sums.at[0][i], rows[step][i], {weight[step][0], weight[step][1]});
        if constexpr (kTiles == 2) {
          mma_m16n8k16<T>(sums.at[1][i], rows[step][i], {weight[step][2], weight[step][3]});
        }
      }
    }
  }
}

/// Multiplies the warp's share of a stage.
template <typename T, int kRows, int kSlabs>
__device__ void multiply(const WarpShare& share, const LaneFragments& lane, int slab_rows,
                         const uint4* stage, WarpSums<kRows>& sums) {
  if (!share.has_tile(0)) return;
  const auto each_slab = [&]<int kSteps, int kTiles>() {
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
      multiply_steps<T, kRows, kSteps, kTiles>(shared_address(stage) + slab * slab_rows * kRowBytes,
                                               lane, sums);
    }
  };
  switch (share.across) {
    case 8:
      if (share.has_tile(1)) return each_slab.template operator()<kStepsOfSlab, 2>();
      return each_slab.template operator()<kStepsOfSlab, 1>();
    case 4:
      return each_slab.template operator()<kStepsOfSlab / 2, 1>();
    case 2:
      return each_slab.template operator()<kStepsOfSlab / 4, 1>();
    default:
      return each_slab.template operator()<kStepsOfSlab / 8, 1>();
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
template <typename T, int kRows, int kSlabs>
class SkinnyBlock {
 public:
  __device__ SkinnyBlock(const Plan& plan, const TiledWeight& weight, const Bands& bands,
                         const GemmRows& rows, uint4* shared)
      : plan_(plan),
        weight_(weight),
        bands_(bands),
        rows_(rows),
        shared_(shared),
        stages_(weight, rows, bands, plan.slab_rows) {}

  __device__ void run() {
    for (int i = 0; i < kStages - 1; ++i) {
      stages_.load_weight(stage(i));
      end_copy_group();
    }
    prefetch_biases(plan_.params.epilogue, std::int64_t{bands_.begin} * weight_.features_of_tile(),
                    min(std::int64_t{bands_.end} * weight_.features_of_tile(),
                        plan_.params.epilogue.out_features));
    wait_for_earlier_kernels();
    int chunk = stages_.first_chunk();
    for (int i = 0; i < kStages - 1; ++i) {
      stages_.load_rows(chunk, stage(i));
      end_copy_group();
      chunk = stages_.chunk_after(chunk);
    }
    for (int band = bands_.begin; band < bands_.end; band += bands_.band_tiles) multiply_band(band);
  }

 private:
  __device__ uint4* stage(int index) const {
    return shared_ + index * kSlabs * plan_.slab_rows * kSlabPieces;
  }
  __device__ static int before(int stage) { return stage == 0 ? kStages - 1 : stage - 1; }

  __device__ void multiply_band(int band) {
    const WarpShare share = WarpShare::of(bands_.tiles_from(band));
    const LaneFragments lane = LaneFragments::of<kRows>(share);
    WarpSums<kRows> sums;
    for (int i = 0; i < stages_.num_chunks(); ++i) {
      wait_for_copy_groups<kStages - 2>();
      __syncthreads();  // this chunk is there, and the stage of the one before is free
      if (!stages_.at_end()) {
        uint4* free = stage(before(here_));
        stages_.load_rows(stages_.chunk(), free);
        stages_.load_weight(free);
      }
      end_copy_group();
      multiply<T, kRows, kSlabs>(share, lane, plan_.slab_rows, stage(here_), sums);
      here_ = here_ + 1 == kStages ? 0 : here_ + 1;
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

  __device__ void finish(int tile, const float (&sums)[kRows / 16][4]) const {
    finish_tile<kRows>(plan_.params.epilogue, weight_, tile, rows_, sums);
  }

  /// The same for tiles that several warps have parts of, one each. The stage that was multiplied
  /// last has room for them.
  __device__ void add_and_finish(int band, const WarpShare& share, WarpSums<kRows>& sums) {
    using LaneSums = float[kRows / 16][4];
    auto* parts = reinterpret_cast<LaneSums*>(stage(before(here_)));
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
  GemmStages<kRows, kSlabs, kThreads> stages_;
  int here_ = 0;  ///< the stage that is multiplied next
};

/// grid: shares of the weight, rows.
template <typename T, int kRows, int kSlabs>
__global__ void __launch_bounds__(kThreads, kKernelsAtOnce)
    skinny_gemm_kernel(const __grid_constant__ Plan plan) {
  extern __shared__ __align__(256) uint4 shared_of_skinny_gemm[];  // see LaneFragments
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
  const Bands bands = Bands::of(tiles, kBandTiles<kRows, kSlabs>);
  SkinnyBlock<T, kRows, kSlabs>(plan, weight, bands, rows, shared_of_skinny_gemm).run();
}

template <typename T, int kRows, int kSlabs>
void launch_rows(const SkinnyGemmParams& params, int tiles_of_block, cudaStream_t stream) {
  static_assert(kBandTiles<kRows, kSlabs> > 0);
  const Plan plan{params, kRows + kTileRows * std::min(tiles_of_block, kBandTiles<kRows, kSlabs>)};
  launch(skinny_gemm_kernel<T, kRows, kSlabs>,
         {.grid = dim3(static_cast<unsigned>(params.num_multiprocessors),
                       static_cast<unsigned>((params.num_rows + kRows - 1) / kRows)),
          .block = dim3(kThreads),
          .shared_bytes = static_cast<std::size_t>(kStages * kSlabs * plan.slab_rows * kRowBytes),
          .overlaps = params.overlaps,
          .alone = true},
         stream, plan);
}

}  // namespace

bool skinny_gemm_supports(DType dtype, std::int64_t in_features) {
  return (dtype == DType::float16 || dtype == DType::bfloat16) && in_features % 8 == 0;
}

void skinny_gemm(const SkinnyGemmParams& params, cudaStream_t stream) {
  const auto tiles = static_cast<int>((params.epilogue.weight_rows() + kTileRows - 1) / kTileRows);
  const int tiles_of_block = (tiles + params.num_multiprocessors - 1) / params.num_multiprocessors;
  dispatch_half(params.dtype, "skinny_gemm", [&]<typename T>() {
    dispatch_value(std::integer_sequence<int, 16, kMaxSkinnyRows>{},
                   params.num_rows <= 16 ? 16 : kMaxSkinnyRows, "skinny_gemm", "rows",
                   [&]<int kRows>() {
                     if (tiles_of_block <= kBandTiles<kRows, kMostSlabs>) {
                       launch_rows<T, kRows, kMostSlabs>(params, tiles_of_block, stream);
                     } else {
                       launch_rows<T, kRows, 1>(params, tiles_of_block, stream);
                     }
                   });
  });
}

}  // namespace quern::kernels
