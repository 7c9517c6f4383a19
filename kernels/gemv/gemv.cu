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
/// Bounds registers and shared memory so that the next kernel's block can be co-resident.
template <typename T>
constexpr int kKernelsAtOnce = sizeof(T) == 2 ? 2 : 1;
constexpr int kHeld = 2;  ///< groups of four elements: rows of 4096 stay in registers

/// Layout of the batch's rows in shared memory.
struct RowLayout {
  int vectors;  ///< of a row, zero-padded to a whole K block
  int stride;

  __host__ __device__ static RowLayout of(std::int64_t row_bytes) {
    const int k_block_bytes = 16 * kKBlockVectors;
    const int k_blocks = static_cast<int>((row_bytes + k_block_bytes - 1) / k_block_bytes);
    return {k_blocks * kKBlockVectors, k_blocks * kKBlockVectors + 1};
  }
};

/// Kernel argument.
struct Plan {
  GemvParams params;
  int num_stages;  ///< of each warp's ring
};

/// Partial sums of a tile that another warp began and that it adds to its own.
struct Continued {
  int tile;  ///< or none
  float2 sums[kWarpSize];
};
constexpr int kNoTile = -1;

/// Loads, or norms, the batch's rows into shared memory.
template <typename T>
__device__ void prepare_rows(const GemvParams& p, NormRow<T, 4, kHeld>& norm, uint4* rows) {
  const int vectors = static_cast<int>(p.in_features) / kElementsOf16Bytes<T>;
  const RowLayout layout = RowLayout::of(16 * std::int64_t{vectors});
  const int thread = static_cast<int>(threadIdx.x);
  if (p.in == nullptr) {
    norm.load(p.norm.token_rows != nullptr ? *p.norm.token_rows : 0);
    if (p.residual_out != nullptr && blockIdx.x == 0) norm.store(p.residual_out);
    norm.store_norm(reinterpret_cast<T*>(rows));
  } else {
    const auto* from = static_cast<const uint4*>(p.in);
    for (int row = 0; row < p.num_rows; ++row) {
#pragma unroll 4
      for (int i = thread; i < vectors; i += kThreads) {
        rows[row * layout.stride + i] = from[row * vectors + i];
      }
    }
  }
  for (int row = 0; row < p.num_rows; ++row) {
    if (thread < layout.vectors - vectors) rows[row * layout.stride + vectors + thread] = uint4{};
  }
}

/// Applies the epilogue to this lane's two results of a tile and stores them; see RowTile.
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

/// Multiplies a warp's K blocks. Complete tiles are stored at once; the sums of a first tile that
/// another warp began go to `continued`. Returns the last tile if another warp completes it.
template <typename T>
__device__ int multiply(const GemvParams& p, const TiledWeight& weight, WeightStream& stream,
                        const uint4* rows, Continued& continued, RowTile<T>& sums) {
  const RowLayout layout = RowLayout::of(weight.row_bytes);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  bool began = stream.at_end() || stream.here().k_block == 0;
  continued.tile = began ? kNoTile : stream.here().tile;
  while (!stream.at_end()) {
    const WeightStream::Place here = stream.here();
    const WeightFragment k_block = RowTile<T>::load(stream.wait());
    stream.move_on();
    sums.multiply(k_block, {rows + here.k_block * kKBlockVectors, layout.stride, p.num_rows});
    const bool ends = here.k_block + 1 == weight.num_k_blocks();
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

  uint4* ring = shared + warp * plan.num_stages * (WeightStream::kKBlockBytes / 16);
  uint4* rows = shared + kWarps * plan.num_stages * (WeightStream::kKBlockBytes / 16);
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

constexpr std::size_t kStageBytes = std::size_t{kWarps} * WeightStream::kKBlockBytes;

std::size_t rows_bytes(DType dtype, int num_rows, std::int64_t in_features) {
  const std::int64_t row_bytes = in_features * static_cast<std::int64_t>(dtype_bytes(dtype));
  return 16 * static_cast<std::size_t>(RowLayout::of(row_bytes).stride) *
         static_cast<std::size_t>(num_rows);
}

/// Pipeline stages of each warp, as many as shared memory holds; 0 if none fits.
int num_stages(std::size_t bytes_of_rows, std::size_t shared_bytes = kMaxSharedBytes) {
  constexpr std::size_t kStaticBytes = 5120;
  for (int stages = WeightStream::kMaxStages; stages > 0; --stages) {
    const std::size_t ring_bytes = static_cast<std::size_t>(stages) * kStageBytes;
    if (bytes_of_rows + ring_bytes <= shared_bytes - kStaticBytes) return stages;
  }
  return 0;
}

/// Maximum number of K blocks per warp.
int k_blocks_of_warp(const GemvParams& params) {
  const auto ceil_of = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
  const std::int64_t tiles = ceil_of(params.epilogue.weight_rows(), kTileRows);
  const std::int64_t row_bytes =
      params.in_features * static_cast<std::int64_t>(dtype_bytes(params.dtype));
  const std::int64_t k_blocks =
      ceil_of(tiles, params.num_multiprocessors) * ceil_of(row_bytes, 16 * kKBlockVectors);
  return static_cast<int>(ceil_of(k_blocks, kWarps));
}

}  // namespace

bool gemv_supports(DType dtype, std::int64_t num_rows, std::int64_t in_features) {
  const std::int64_t row_bytes = in_features * static_cast<std::int64_t>(dtype_bytes(dtype));
  return num_rows <= kMaxGemvRows && row_bytes % 16 == 0 &&
         num_stages(rows_bytes(dtype, static_cast<int>(num_rows), in_features)) > 0;
}

void gemv(const GemvParams& params, cudaStream_t stream) {
  // With several rows a norm kernel of few blocks runs between the projections, and blocks would no
  // longer spread evenly (docs/adr/0010).
  const bool one_block_per_sm = params.use_pdl && params.num_rows > 1;
  const std::size_t bytes = rows_bytes(params.dtype, params.num_rows, params.in_features);
  const int stages = num_stages(bytes, one_block_per_sm ? max_shared_bytes() : kMaxSharedBytes);
  const Plan plan{params, std::min(stages, k_blocks_of_warp(params))};
  // One block per multiprocessor, even without work: otherwise two of the next kernel's blocks
  // would be scheduled where one is missing.
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(params.num_multiprocessors)),
      .block = dim3(kThreads),
      .shared_bytes = bytes + static_cast<std::size_t>(plan.num_stages) * kStageBytes,
      .use_pdl = params.use_pdl,
      .one_block_per_sm = one_block_per_sm};
  dispatch_float(params.dtype, "gemv",
                 [&]<typename T>() { launch(gemv_kernel<T>, shape, stream, plan); });
}

}  // namespace quern::kernels
