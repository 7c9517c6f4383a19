#include <algorithm>

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/launch.h"
#include "kernels/norm/norm_row.cuh"
#include "kernels/quant/dispatch_stored.h"
#include "kernels/quant/quantized_gemv.h"
#include "kernels/quant/tile_pair.cuh"

namespace quern::kernels {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarpSize;
/// Bounds registers and shared memory so that the next kernel's block can be co-resident.
constexpr int kKernelsAtOnce = 2;
constexpr int kHeld = 2;  ///< groups of four elements: rows of 4096 stay in registers
constexpr int kMaxStages = 6;

/// Layout of the batch's rows in shared memory: whole tiles of inputs, and a stride that puts rows
/// into different banks.
struct RowLayout {
  int vectors;
  int stride;

  __host__ __device__ static RowLayout of(std::int64_t in_features, int tile_inputs) {
    const int tiles = static_cast<int>((in_features + tile_inputs - 1) / tile_inputs);
    return {tiles * tile_inputs / 8, tiles * tile_inputs / 8 + 1};
  }
};

/// Kernel argument.
struct Plan {
  QuantizedGemvParams params;
  int num_stages;  ///< of each warp's ring
};

/// Partial sums of a pair of tiles that another warp began and that it adds to its own.
struct Continued {
  int pair;  ///< or none
  float4 sums[kWarpSize];
};
constexpr int kNoPair = -1;

/// Streams one warp's share of a block's pairs, split evenly by tiles.
template <DType kStored, bool kFine>
class TileStream {
 public:
  using Cursor = TilePairCursor<kStored, kFine>;
  static constexpr int kStageBytes = Cursor::Stage::kBytes;

  struct Place {
    int pair;
    int tile;
  };

  __device__ TileStream(const TilePairs& pairs, int begin, int end, std::byte* ring, int num_stages)
      : cursor_(pairs), ring_(ring), num_stages_(num_stages) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int total = (end - begin) * cursor_.num_tiles();
    const int first = total / kWarps * warp + min(warp, total % kWarps);
    left_ = total / kWarps + (warp < total % kWarps ? 1 : 0);
    here_ = {begin + first / cursor_.num_tiles(), first % cursor_.num_tiles()};
    next_ = here_;
    cursor_.place(next_.pair, next_.tile);
  }

  /// Issues the copies of the first tiles. Weights may be read while earlier kernels still run.
  __device__ void start() {
    for (int i = 0; i < num_stages_; ++i) issue(i < left_);
  }

  __device__ bool at_end() const { return left_ == 0; }
  __device__ const Place& here() const { return here_; }
  __device__ int num_tiles() const { return cursor_.num_tiles(); }

  /// Waits for this pair of tiles.
  __device__ const std::byte* wait() const {
    wait_for_copy_groups(num_stages_ - 1);
    __syncwarp();
    return ring_ + stage_ * kStageBytes;
  }

  /// Moves to the next pair of tiles and refills this one's stage.
  __device__ void move_on() {
    __syncwarp();
    if (++here_.tile == num_tiles()) here_ = {here_.pair + 1, 0};
    issue(--left_ >= num_stages_);
  }

 private:
  __device__ void issue(bool has_next) {
    if (has_next) {
      cursor_.copy(ring_ + stage_ * kStageBytes);
      cursor_.move_on();
      if (++next_.tile == num_tiles()) {
        next_ = {next_.pair + 1, 0};
        cursor_.place(next_.pair, 0);
      }
    }
    end_copy_group();
    stage_ = stage_ + 1 == num_stages_ ? 0 : stage_ + 1;
  }

  Cursor cursor_;
  std::byte* ring_;
  int num_stages_;
  int stage_ = 0;  ///< the oldest
  int left_;       ///< pairs of tiles, this one included
  Place here_;
  Place next_;
};

/// Loads, or norms, the batch's rows into shared memory.
template <typename T>
__device__ void prepare_rows(const QuantizedGemvParams& p, const RowLayout& layout,
                             NormRow<T, 4, kHeld>& norm, uint4* rows) {
  const int vectors = static_cast<int>(p.weight.in_features) / 8;
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

/// Applies the epilogue to this lane's sums of a pair and stores them.
__device__ void store_pair(const QuantizedGemvParams& p, const TilePairs& pairs, int pair,
                           const float4& sums) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int feature = pair * pairs.features_of_pair() + lane / 4;
  const float own[4] = {sums.x, sums.y, sums.z, sums.w};
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = lane % 4 * 2 + i;
    if (row >= p.num_rows) return;
    if (pairs.gated) {
      finish(p.epilogue, row, feature, own[i], own[2 + i]);
    } else {
      if (feature < pairs.features) finish(p.epilogue, row, feature, own[i], 0.0f);
      if (feature + kQuantTileRows < pairs.features) {
        finish(p.epilogue, row, feature + kQuantTileRows, own[2 + i], 0.0f);
      }
    }
  }
}

template <typename T, DType kStored, bool kFine>
__global__ void __launch_bounds__(kThreads, kKernelsAtOnce)
    quantized_gemv_kernel(const __grid_constant__ Plan plan) {
  using Stream = TileStream<kStored, kFine>;
  extern __shared__ __align__(16) std::byte shared_of_quantized_gemv[];
  __shared__ Continued continued[kWarps];
  let_next_kernel_start();
  const QuantizedGemvParams& p = plan.params;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const TilePairs pairs{p.weight, p.epilogue.gated, static_cast<int>(p.epilogue.out_features)};
  const int count = pairs.num_pairs();
  const int blocks = static_cast<int>(gridDim.x);
  const int block = static_cast<int>(blockIdx.x);
  const int begin = count / blocks * block + min(block, count % blocks);
  const int end = begin + count / blocks + (block < count % blocks ? 1 : 0);
  if (begin == end) {
    wait_for_earlier_kernels();
    return;
  }

  std::byte* ring = shared_of_quantized_gemv + warp * plan.num_stages * Stream::kStageBytes;
  auto* rows = reinterpret_cast<uint4*>(shared_of_quantized_gemv +
                                        kWarps * plan.num_stages * Stream::kStageBytes);
  Stream stream(pairs, begin, end, ring, plan.num_stages);
  stream.start();
  prefetch_biases(p.epilogue, std::int64_t{begin} * pairs.features_of_pair(),
                  min(std::int64_t{end} * pairs.features_of_pair(), p.epilogue.out_features));
  const RowLayout layout = RowLayout::of(p.weight.in_features, kQuantTileInputs<kStored>);
  {
    NormRow<T, 4, kHeld> norm(p.norm);
    wait_for_earlier_kernels();
    prepare_rows<T>(p, layout, norm, rows);
  }
  __syncthreads();

  const std::uint32_t lane_row =
      shared_address(rows + min(lane % 8, p.num_rows - 1) * layout.stride + lane / 8);
  float sums[1][4] = {};
  const auto take = [&] {
    const float4 taken{sums[0][0], sums[0][1], sums[0][2], sums[0][3]};
    sums[0][0] = sums[0][1] = sums[0][2] = sums[0][3] = 0.0f;
    return taken;
  };
  bool began = stream.at_end() || stream.here().tile == 0;
  continued[warp].pair = began ? kNoPair : stream.here().pair;
  int unfinished = kNoPair;
  while (!stream.at_end()) {
    const typename Stream::Place here = stream.here();
    multiply_tile_pair<T, kStored, kFine, 1>(
        p.weight, stream.wait(), lane_row + here.tile * (kQuantTileInputs<kStored> * 2), 0, sums);
    stream.move_on();
    const bool ends = here.tile + 1 == stream.num_tiles();
    if (!ends && !stream.at_end()) continue;
    if (!began) {
      continued[warp].sums[lane] = take();
    } else if (ends) {
      store_pair(p, pairs, here.pair, take());
    } else {
      unfinished = here.pair;
    }
    began = true;
  }
  __syncthreads();
  if (unfinished == kNoPair) return;
  float4 total = take();
  for (int i = warp + 1; i < kWarps; ++i) {
    if (continued[i].pair != unfinished) continue;
    const float4 part = continued[i].sums[lane];
    total.x += part.x;
    total.y += part.y;
    total.z += part.z;
    total.w += part.w;
  }
  store_pair(p, pairs, unfinished, total);
}

bool is_fine(const QuantizedWeight& weight) {
  return weight.group_size < quant_tile_inputs(weight.stored);
}

/// Bytes of a stage of all warps.
std::size_t stage_bytes(const QuantizedWeight& weight) {
  std::size_t bytes = 0;
  dispatch_stored(weight.stored, "quantized_gemv", [&]<DType kStored>() {
    bytes = is_fine(weight) ? TilePairStage<kStored, true>::kBytes
                            : TilePairStage<kStored, false>::kBytes;
  });
  return bytes * kWarps;
}

std::size_t rows_bytes(const QuantizedGemvParams& params) {
  const auto layout =
      RowLayout::of(params.weight.in_features, quant_tile_inputs(params.weight.stored));
  return 16 * static_cast<std::size_t>(layout.stride) * static_cast<std::size_t>(params.num_rows);
}

/// Pipeline stages of each warp, as many as shared memory holds; 0 if none fits.
int num_stages(const QuantizedGemvParams& params, std::size_t shared_bytes = kMaxSharedBytes) {
  constexpr std::size_t kStaticBytes = sizeof(Continued) * kWarps + 512;
  const std::size_t bytes_of_stage = stage_bytes(params.weight);
  for (int stages = kMaxStages; stages > 0; --stages) {
    if (rows_bytes(params) + static_cast<std::size_t>(stages) * bytes_of_stage <=
        shared_bytes - kStaticBytes) {
      return stages;
    }
  }
  return 0;
}

/// Maximum number of pairs of tiles per warp.
int pairs_of_warp(const QuantizedGemvParams& params) {
  const auto ceil_of = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
  const std::int64_t pairs = ceil_of(params.weight.weight_rows, 2 * kQuantTileRows);
  const std::int64_t tiles =
      ceil_of(params.weight.in_features, quant_tile_inputs(params.weight.stored));
  return static_cast<int>(ceil_of(ceil_of(pairs, params.num_multiprocessors) * tiles, kWarps));
}

}  // namespace

bool quantized_gemv_supports(const QuantizedGemvParams& params) {
  return params.num_rows <= kMaxQuantizedGemvRows && params.weight.in_features % 8 == 0 &&
         (!params.epilogue.gated || params.epilogue.out_features % kQuantTileRows == 0) &&
         num_stages(params) > 0;
}

void quantized_gemv(const QuantizedGemvParams& params, cudaStream_t stream) {
  // As in gemv().
  const bool one_block_per_sm = params.use_pdl && params.num_rows > 1;
  const int stages = num_stages(params, one_block_per_sm ? max_shared_bytes() : kMaxSharedBytes);
  const Plan plan{params, std::min(stages, pairs_of_warp(params))};
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(params.num_multiprocessors)),
      .block = dim3(kThreads),
      .shared_bytes = rows_bytes(params) +
                      static_cast<std::size_t>(plan.num_stages) * stage_bytes(params.weight),
      .use_pdl = params.use_pdl,
      .one_block_per_sm = one_block_per_sm};
  dispatch_half(params.dtype, "quantized_gemv", [&]<typename T>() {
    dispatch_stored(params.weight.stored, "quantized_gemv", [&]<DType kStored>() {
      launch(is_fine(params.weight) ? quantized_gemv_kernel<T, kStored, true>
                                    : quantized_gemv_kernel<T, kStored, false>,
             shape, stream, plan);
    });
  });
}

}  // namespace quern::kernels
