#include "kernels/common/band_stream.cuh"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/mma.cuh"
#include "kernels/stream_gemm.h"

namespace quern::kernels {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarpSize;
/// Registers leave room for blocks of other kernels beside this one's.
constexpr int kKernelsAtOnce = 2;
constexpr int kStages = 4;                ///< of a warp's ring
constexpr int kChunks = kSlabPieces / 4;  ///< of a slab: 32 elements of K, for two mmas

/// Tiles whose sums a warp holds.
template <int kHalves>
constexpr int kTilesAtOnce = kHalves == 1 ? 11 : 8;

/// A lane's sums of a tile: weight rows 2 (lane % 4) and the next, with row lane / 4 and, of two
/// halves, with row lane / 4 + 8.
template <int kHalves>
struct LaneSums {
  float2 at[kHalves];
};

template <int kHalves>
struct SharedMemory {
  uint4 rings[kWarps][BandStream<kStages>::kRingPieces];
  LaneSums<kHalves> sums[kWarps][kTilesAtOnce<kHalves>][kWarpSize];
};
static_assert(sizeof(SharedMemory<1>) <= kMaxSharedBytes);
static_assert(sizeof(SharedMemory<2>) <= kMaxSharedBytes);

/// A lane's part of up to eight rows a half, a slab of K: 16 bytes of each chunk. The order of K
/// within a chunk is free as long as weights have the same.
template <int kHalves>
struct RowsFragment {
  uint4 at[kHalves][kChunks];

  /// Zeros beyond the rows and beyond K.
  __device__ void load(const StreamGemmParams& p, int slab) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int pieces = static_cast<int>(p.in_features / 8);
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const int row = lane / 4 + 8 * half;
      const auto* from = static_cast<const uint4*>(p.in) + std::int64_t{row} * pieces;
#pragma unroll
      for (int i = 0; i < kChunks; ++i) {
        const int piece = slab * kSlabPieces + 4 * i + lane % 4;
        at[half][i] = uint4{};
        if (row < p.num_rows && piece < pieces) at[half][i] = __ldcg(from + piece);
      }
    }
  }
};

template <typename T, int kHalves>
__device__ void multiply(const RowsFragment<kHalves>& rows, const SlabFragment& weight,
                         float (&sums)[4]) {
#pragma unroll
  for (int i = 0; i < kChunks; ++i) {
    const uint4 low = rows.at[0][i];
    const uint4 high = kHalves == 2 ? rows.at[kHalves - 1][i] : uint4{};
    mma_m16n8k16<T>(sums, {low.x, high.x, low.y, high.y}, {weight.at[i].x, weight.at[i].y});
    mma_m16n8k16<T>(sums, {low.z, high.z, low.w, high.w}, {weight.at[i].z, weight.at[i].w});
  }
}

/// Multiplies the warp's share of a band.
template <typename T, int kHalves>
__device__ void multiply_share(const StreamGemmParams& p, BandShare share,
                               BandStream<kStages>& stream,
                               float (&sums)[kTilesAtOnce<kHalves>][4]) {
#pragma unroll
  for (auto& tile : sums) tile[0] = tile[1] = tile[2] = tile[3] = 0.0f;
  while (share.count > 0) {
    const int end = min(share.tiles, share.tile + share.count);
    RowsFragment<kHalves> rows;  // while they come, so do the next slabs of weights
    rows.load(p, share.slab);
#pragma unroll
    for (int tile = 0; tile < kTilesAtOnce<kHalves>; ++tile) {
      if (tile >= share.tile && tile < end) multiply<T>(rows, stream.take(), sums[tile]);
    }
    share.count -= end - share.tile;
    share.tile = 0;
    ++share.slab;
  }
}

/// Adds up what the warps have of a band, and stores it.
template <int kHalves>
__device__ void finish_band(const StreamGemmParams& p, const TiledWeight& weight, int first,
                            int tiles, const SharedMemory<kHalves>& shared) {
  for (int i = static_cast<int>(threadIdx.x); i < tiles * kWarpSize; i += kThreads) {
    const int lane = i % kWarpSize;
    LaneSums<kHalves> total = shared.sums[0][i / kWarpSize][lane];
#pragma unroll
    for (int warp = 1; warp < kWarps; ++warp) {
      const LaneSums<kHalves> part = shared.sums[warp][i / kWarpSize][lane];
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        total.at[half].x += part.at[half].x;
        total.at[half].y += part.at[half].y;
      }
    }
    const int feature =
        (first + i / kWarpSize) * weight.features_of_tile() + lane % 4 * (weight.gated ? 1 : 2);
    if (feature >= weight.features) continue;
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const int row = lane / 4 + 8 * half;
      if (row >= p.num_rows) continue;
      if (weight.gated) {
        finish(p.epilogue, row, feature, total.at[half].x, total.at[half].y);
        continue;
      }
      finish(p.epilogue, row, feature, total.at[half].x, 0.0f);
      if (feature + 1 < weight.features) {
        finish(p.epilogue, row, feature + 1, total.at[half].y, 0.0f);
      }
    }
  }
}

/// kHalves: of eight rows.
template <typename T, int kHalves>
__global__ void __launch_bounds__(kThreads, kKernelsAtOnce)
    stream_gemm_kernel(const __grid_constant__ StreamGemmParams p) {
  extern __shared__ uint4 shared_pieces[];
  auto& shared = *reinterpret_cast<SharedMemory<kHalves>*>(shared_pieces);
  let_next_kernel_start();
  const TiledWeight weight{static_cast<const std::byte*>(p.weight),
                           static_cast<int>(p.in_features * sizeof(T)),
                           static_cast<int>(p.epilogue.out_features), p.epilogue.gated};
  const int tiles = (weight.features + weight.features_of_tile() - 1) / weight.features_of_tile();
  const Bands bands = Bands::of(tiles, kTilesAtOnce<kHalves>);
  if (bands.begin == bands.end) return wait_for_earlier_kernels();
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  BandStream<kStages> stream(weight, bands, shared.rings[warp]);
  stream.start();
  prefetch_biases(
      p.epilogue, std::int64_t{bands.begin} * weight.features_of_tile(),
      min(std::int64_t{bands.end} * weight.features_of_tile(), p.epilogue.out_features));
  wait_for_earlier_kernels();
  for (int first = bands.begin; first < bands.end; first += bands.band_tiles) {
    const int band_tiles = bands.tiles_from(first);
    float sums[kTilesAtOnce<kHalves>][4];
    multiply_share<T, kHalves>(p, BandShare::of(band_tiles, weight.num_slabs()), stream, sums);
#pragma unroll
    for (int tile = 0; tile < kTilesAtOnce<kHalves>; ++tile) {
      if (tile >= band_tiles) break;
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        shared.sums[warp][tile][lane].at[half] = {sums[tile][2 * half], sums[tile][2 * half + 1]};
      }
    }
    __syncthreads();
    finish_band(p, weight, first, band_tiles, shared);
    __syncthreads();  // sums may be written again
  }
}

}  // namespace

bool stream_gemm_supports(DType dtype, std::int64_t num_rows, std::int64_t in_features) {
  return (dtype == DType::float16 || dtype == DType::bfloat16) && num_rows <= kMaxStreamRows &&
         in_features % 8 == 0;
}

void stream_gemm(const StreamGemmParams& params, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(params.num_multiprocessors)),
                          .block = dim3(kThreads),
                          .overlaps = params.overlaps,
                          .alone = true};
  dispatch_half(params.dtype, "stream_gemm", [&]<typename T>() {
    dispatch_value(std::integer_sequence<int, 1, 2>{}, params.num_rows > 8 ? 2 : 1, "stream_gemm",
                   "halves", [&]<int kHalves>() {
                     LaunchShape sized = shape;
                     sized.shared_bytes = sizeof(SharedMemory<kHalves>);
                     launch(stream_gemm_kernel<T, kHalves>, sized, stream, params);
                   });
  });
}

}  // namespace quern::kernels
