#include <algorithm>

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/launch.h"
#include "kernels/gemv/gemv.h"
#include "kernels/gemv/weight_stream.cuh"
#include "kernels/norm/norm_row.cuh"

namespace quern::kernels {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarpSize;
/// Registers and shared memory leave room for the next kernel's block beside this one's.
template <typename T>
constexpr int kKernelsAtOnce = sizeof(T) == 2 ? 2 : 1;
constexpr int kHeld = 2;  ///< groups of four elements: rows of 4096 are normed in registers

/// Rows of shared memory that the weight is multiplied with.
struct RowLayout {
  int pieces;  ///< of a row, with zeros up to a whole slab
  int stride;

  __host__ __device__ static RowLayout of(std::int64_t row_bytes) {
    const int slab_bytes = 16 * kSlabPieces;
    const int slabs = static_cast<int>((row_bytes + slab_bytes - 1) / slab_bytes);
    return {slabs * kSlabPieces, slabs * kSlabPieces + 1};
  }
};

/// What the kernel is told.
struct Plan {
  GemvParams params;
  int num_stages;  ///< of each warp's ring
};

/// Sums of a tile that a warp did not begin: those of the end of its first tile, or of a part from
/// the middle. The warp that began the tile adds them to its own.
struct Continued {
  int tile;  ///< or none
  float2 sums[kWarpSize];
};
constexpr int kNoTile = -1;

/// Brings the rows that the weight is multiplied with to shared memory.
template <typename T>
__device__ void prepare_rows(const GemvParams& p, NormRow<T, 4, kHeld>& norm, uint4* rows) {
  const int pieces = static_cast<int>(p.in_features) / kElementsOf16Bytes<T>;
  const RowLayout layout = RowLayout::of(16 * std::int64_t{pieces});
  const int thread = static_cast<int>(threadIdx.x);
  if (p.in == nullptr) {
    norm.load(p.norm.token_rows != nullptr ? *p.norm.token_rows : 0);
    if (p.residual_out != nullptr && blockIdx.x == 0) norm.store(p.residual_out);
    norm.store_norm(reinterpret_cast<T*>(rows));
  } else {
    const auto* from = static_cast<const uint4*>(p.in);
    for (int row = 0; row < p.num_rows; ++row) {
#pragma unroll 4
      for (int i = thread; i < pieces; i += kThreads) {
        rows[row * layout.stride + i] = from[row * pieces + i];
      }
    }
  }
  for (int row = 0; row < p.num_rows; ++row) {
    if (thread < layout.pieces - pieces) rows[row * layout.stride + pieces + thread] = uint4{};
  }
}

/// Stores this lane's two products of a tile; see RowTile.
__device__ void store_tile(const GemvParams& p, const TiledWeight& weight, int tile,
                           const float2& sums) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int row = lane / 4;
  const int feature = tile * weight.features_of_tile() + lane % 4 * (weight.gated ? 1 : 2);
  if (row >= p.num_rows || feature >= weight.features) return;
  if (weight.gated) {
    finish(p.epilogue, row, feature, sums.x, sums.y);
  } else {
    finish(p.epilogue, row, feature, sums.x, 0.0f);
    if (feature + 1 < weight.features) finish(p.epilogue, row, feature + 1, sums.y, 0.0f);
  }
}

/// Multiplies a warp's share. Tiles that lie in it are stored at once; of the first, if another
/// warp began it, the sums go to `continued`. Returns the last tile, if it is not at its end here.
template <typename T>
__device__ int multiply(const GemvParams& p, const TiledWeight& weight, WeightStream& stream,
                        const uint4* rows, Continued& continued, RowTile<T>& sums) {
  const RowLayout layout = RowLayout::of(weight.row_bytes);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  bool began = stream.at_end() || stream.here().slab == 0;
  continued.tile = began ? kNoTile : stream.here().tile;
  while (!stream.at_end()) {
    const WeightStream::Place here = stream.here();
    const SlabFragment slab = RowTile<T>::load(stream.wait());
    stream.move_on();
    sums.multiply(slab, {rows + here.slab * kSlabPieces, layout.stride, p.num_rows});
    const bool ends = here.slab + 1 == weight.num_slabs();
    if (!ends && !stream.at_end()) continue;
    if (!began) {
      continued.sums[lane] = sums.take();
    } else if (ends) {
      store_tile(p, weight, here.tile, sums.take());
    } else {
      return here.tile;
    }
    began = true;
  }
  return kNoTile;
}

template <typename T>
__global__ void __launch_bounds__(kThreads, kKernelsAtOnce<T>)
    gemv_kernel(const __grid_constant__ Plan plan) {
  extern __shared__ uint4 shared[];
  __shared__ Continued continued[kWarps];
  let_next_kernel_start();
  const GemvParams& p = plan.params;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const TiledWeight weight{static_cast<const std::byte*>(p.weight),
                           static_cast<int>(p.in_features * sizeof(T)),
                           static_cast<int>(p.epilogue.out_features), p.epilogue.gated};
  const int tiles = (weight.features + weight.features_of_tile() - 1) / weight.features_of_tile();
  const int blocks = static_cast<int>(gridDim.x);
  const int block = static_cast<int>(blockIdx.x);
  const int begin = tiles / blocks * block + min(block, tiles % blocks);
  const int end = begin + tiles / blocks + (block < tiles % blocks ? 1 : 0);
  if (begin == end) {
    wait_for_earlier_kernels();
    return;
  }

  uint4* ring = shared + warp * plan.num_stages * (WeightStream::kSlabBytes / 16);
  uint4* rows = shared + kWarps * plan.num_stages * (WeightStream::kSlabBytes / 16);
  WeightStream stream(weight, begin, end, ring, plan.num_stages);
  stream.start();
  prefetch_biases(p.epilogue, std::int64_t{begin} * weight.features_of_tile(),
                  min(std::int64_t{end} * weight.features_of_tile(), p.epilogue.out_features));
  NormRow<T, 4, kHeld> norm(p.norm);
  wait_for_earlier_kernels();
  prepare_rows<T>(p, norm, rows);
  __syncthreads();

  RowTile<T> sums;
  const int unfinished = multiply<T>(p, weight, stream, rows, continued[warp], sums);
  __syncthreads();
  if (unfinished == kNoTile) return;
  float2 total = sums.take();
#pragma unroll
  for (int i = 1; i < kWarps; ++i) {
    const float2 part = continued[i].sums[threadIdx.x % kWarpSize];
    if (i > warp && continued[i].tile == unfinished) {
      total.x += part.x;
      total.y += part.y;
    }
  }
  store_tile(p, weight, unfinished, total);
}

constexpr std::size_t kStageBytes = std::size_t{kWarps} * WeightStream::kSlabBytes;

std::size_t rows_bytes(DType dtype, int num_rows, std::int64_t in_features) {
  const std::int64_t row_bytes = in_features * static_cast<std::int64_t>(dtype_bytes(dtype));
  return 16 * static_cast<std::size_t>(RowLayout::of(row_bytes).stride) *
         static_cast<std::size_t>(num_rows);
}

/// Stages of each warp's ring, as many as there is room for; 0 if there is none.
int num_stages(std::size_t bytes_of_rows, std::size_t shared_bytes = kMaxSharedBytes) {
  constexpr std::size_t kStaticBytes = 5120;
  for (int stages = WeightStream::kMaxStages; stages > 0; --stages) {
    const std::size_t ring_bytes = static_cast<std::size_t>(stages) * kStageBytes;
    if (bytes_of_rows + ring_bytes <= shared_bytes - kStaticBytes) return stages;
  }
  return 0;
}

/// Slabs that a warp has at most.
int slabs_of_warp(const GemvParams& params) {
  const auto ceil_of = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
  const std::int64_t tiles = ceil_of(params.epilogue.weight_rows(), kTileRows);
  const std::int64_t row_bytes =
      params.in_features * static_cast<std::int64_t>(dtype_bytes(params.dtype));
  const std::int64_t slabs =
      ceil_of(tiles, params.num_multiprocessors) * ceil_of(row_bytes, 16 * kSlabPieces);
  return static_cast<int>(ceil_of(slabs, kWarps));
}

}  // namespace

bool gemv_supports(DType dtype, std::int64_t num_rows, std::int64_t in_features) {
  const std::int64_t row_bytes = in_features * static_cast<std::int64_t>(dtype_bytes(dtype));
  return num_rows <= kMaxGemvRows && row_bytes % 16 == 0 &&
         num_stages(rows_bytes(dtype, static_cast<int>(num_rows), in_features)) > 0;
}

void gemv(const GemvParams& params, cudaStream_t stream) {
  // With several rows, norms stand between the projections, whose few blocks disturb the order in
  // which those of one row come by themselves.
  const bool alone = params.use_pdl && params.num_rows > 1;
  const std::size_t bytes = rows_bytes(params.dtype, params.num_rows, params.in_features);
  const int stages = num_stages(bytes, alone ? max_shared_bytes() : kMaxSharedBytes);
  const Plan plan{params, std::min(stages, slabs_of_warp(params))};
  // A block on each multiprocessor, also where some have nothing to do: two of the next kernel's
  // blocks would come to the place of one that is not there.
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(params.num_multiprocessors)),
      .block = dim3(kThreads),
      .shared_bytes = bytes + static_cast<std::size_t>(plan.num_stages) * kStageBytes,
      .use_pdl = params.use_pdl,
      .alone = alone};
  dispatch_float(params.dtype, "gemv",
                 [&]<typename T>() { launch(gemv_kernel<T>, shape, stream, plan); });
}

}  // namespace quern::kernels
