#include <algorithm>

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/launch.h"
#include "kernels/norm/norm_row.cuh"
#include "kernels/quant/block_scales.cuh"
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
constexpr int kStageBytes = 2 * kQuantTileBytes;  ///< of a warp: a pair of tiles
/// Pipeline stages of each warp that there is code for, by preference.
constexpr int kMostStages = 5;
constexpr int kSomeStages = 4;
constexpr int kFewestStages = 2;

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

/// Kernel argument: the launch's sizes, so that no thread divides.
struct Plan {
  QuantizedGemvParams params;
  int num_stages = 0;
  int num_tiles = 0;         ///< along the inputs
  int pairs_of_block = 0;    ///< at least
  int blocks_with_more = 0;  ///< the first blocks have one more
  ScalesPlan scales;
  // Offsets in shared memory. The warps' rings come first.
  int rows_at = 0;
  int partial_sums_at = 0;
  int shared_bytes = 0;
};

constexpr int kNoPair = -1;

__device__ int own_warp() { return static_cast<int>(threadIdx.x) / kWarpSize; }
__device__ int own_lane() { return static_cast<int>(threadIdx.x) % kWarpSize; }

/// Streams a warp's tiles, which follow each other in both rows of tiles, through its ring. A lane
/// reads only what it copied itself, so that no barrier is needed.
class TileStream {
 public:
  __device__ TileStream(const Plan& plan, int pair, int tile, int count, std::byte* ring)
      : from_(plan.params.weight.values +
              (std::int64_t{pair} * plan.num_tiles + tile) * kQuantTileBytes + 16 * own_lane()),
        second_(std::int64_t{plan.scales.num_pairs} * plan.num_tiles * kQuantTileBytes),
        left_(count),
        end_(plan.num_stages * kStageBytes),
        ring_(ring + 16 * own_lane()) {}

  /// Issues the copies of the first tiles. Weights may be read while earlier kernels still run.
  __device__ void start() {
    do {
      move_on();
    } while (place_ != 0);
  }

  /// Waits for a pair of tiles and reads this lane's vectors of it.
  __device__ void take(uint4 (&own)[2]) const {
    if (end_ == kMostStages * kStageBytes) {
      wait_for_copy_groups<kMostStages - 1>();
    } else if (end_ == kSomeStages * kStageBytes) {
      wait_for_copy_groups<kSomeStages - 1>();
    } else {
      wait_for_copy_groups<kFewestStages - 1>();
    }
    own[0] = *reinterpret_cast<const uint4*>(ring_ + place_);
    own[1] = *reinterpret_cast<const uint4*>(ring_ + place_ + kQuantTileBytes);
  }

  /// Refills the stage of the tiles taken last.
  __device__ void move_on() {
    if (left_ > 0) {
      copy_16_bytes_async(ring_ + place_, from_);
      copy_16_bytes_async(ring_ + place_ + kQuantTileBytes, from_ + second_);
      from_ += kQuantTileBytes;
      --left_;
    }
    end_copy_group();
    place_ += kStageBytes;
    if (place_ == end_) place_ = 0;
  }

 private:
  const std::uint8_t* from_;
  std::int64_t second_;  ///< bytes from the first row of tiles to the second
  int left_;             ///< to be copied
  int end_;
  std::byte* ring_;
  int place_ = 0;  ///< of the oldest stage
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
  } else if (p.num_rows == 1) {
    const auto* from = static_cast<const uint4*>(p.in);
#pragma unroll 4
    for (int i = thread; i < vectors; i += kThreads) rows[i] = from[i];
  } else {
    // All loads of a group before its stores: each waits for L2.
    constexpr int kRowsAtOnce = 8;
    const auto* from = static_cast<const uint4*>(p.in);
    for (int first = 0; first < p.num_rows; first += kRowsAtOnce) {
#pragma unroll 1
      for (int i = thread; i < vectors; i += kThreads) {
        uint4 loaded[kRowsAtOnce];
#pragma unroll
        for (int row = 0; row < kRowsAtOnce; ++row) {
          if (first + row < p.num_rows) loaded[row] = from[(first + row) * vectors + i];
        }
#pragma unroll
        for (int row = 0; row < kRowsAtOnce; ++row) {
          if (first + row < p.num_rows) rows[(first + row) * layout.stride + i] = loaded[row];
        }
      }
    }
  }
  for (int row = 0; row < p.num_rows; ++row) {
    if (thread < layout.vectors - vectors) rows[row * layout.stride + vectors + thread] = uint4{};
  }
}

/// The sums of a pair of tiles that other warps began, in shared memory until the warp that began
/// it adds them: those of a warp's lanes that have a row of the batch.
template <int kRowTiles>
class PartialSums {
 public:
  static constexpr int bytes(int num_rows) {
    return kWarps * kRowTiles * kQuantTileRows * columns(num_rows) *
           static_cast<int>(sizeof(float4));
  }

  __device__ PartialSums(const Plan& plan, std::byte* shared)
      : sums_(reinterpret_cast<float4*>(shared + plan.partial_sums_at)),
        columns_(columns(plan.params.num_rows)) {}

  __device__ void put(const float (&sums)[kRowTiles][4]) const {
    if (own_lane() % 4 >= columns_) return;
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      sums_[place(own_warp(), tile)] = {sums[tile][0], sums[tile][1], sums[tile][2], sums[tile][3]};
    }
  }

  __device__ void add(int warp, float (&sums)[kRowTiles][4]) const {
    if (own_lane() % 4 >= columns_) return;
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      const float4 part = sums_[place(warp, tile)];
      sums[tile][0] += part.x;
      sums[tile][1] += part.y;
      sums[tile][2] += part.z;
      sums[tile][3] += part.w;
    }
  }

 private:
  /// Of four pairs of rows, those that a tile of rows has.
  __host__ __device__ static constexpr int columns(int num_rows) {
    return num_rows < 8 ? (num_rows + 1) / 2 : 4;
  }
  __device__ int place(int warp, int tile) const {
    return ((warp * kRowTiles + tile) * kQuantTileRows + own_lane() / 4) * columns_ +
           own_lane() % 4;
  }

  float4* sums_;
  int columns_;
};

/// Applies the epilogue to this lane's sums of a pair by eight rows and stores them. In loops, as
/// copies of the epilogue's code would crowd the instruction cache.
__device__ void store_pair(const Plan& plan, int pair, int row_tile, const float (&sums)[4]) {
  const QuantizedGemvParams& p = plan.params;
#pragma unroll 1
  for (int i = 0; i < 2; ++i) {
    const int row = row_tile * 8 + own_lane() % 4 * 2 + i;
    if (row >= p.num_rows) return;
    float product = i == 0 ? sums[0] : sums[1];
    const float second = i == 0 ? sums[2] : sums[3];
    std::int64_t feature = std::int64_t{pair} * kQuantTileRows + own_lane() / 4;
#pragma unroll 1
    for (int which = 0; which < (p.epilogue.gated ? 1 : 2); ++which) {
      if (feature < p.epilogue.out_features) finish(p.epilogue, row, feature, product, second);
      feature += std::int64_t{plan.scales.num_pairs} * kQuantTileRows;
      product = second;
    }
  }
}

template <typename T, DType kStored, Scales kScales, int kRowTiles>
__global__ void __launch_bounds__(kThreads, kRowTiles == 1 ? kKernelsAtOnce : 1)
    quantized_gemv_kernel(const __grid_constant__ Plan plan) {
  extern __shared__ __align__(16) std::byte shared_of_quantized_gemv[];
  __shared__ int continued[kWarps];  // the pair that another warp began and this one goes on with
  let_next_kernel_start();
  const QuantizedGemvParams& p = plan.params;
  const int warp = own_warp();
  const int lane = own_lane();
  const auto block = static_cast<int>(blockIdx.x);
  const int begin = plan.pairs_of_block * block + min(block, plan.blocks_with_more);
  const int count = plan.pairs_of_block + (block < plan.blocks_with_more ? 1 : 0);
  if (count == 0) {
    wait_for_earlier_kernels();
    return;
  }

  // This warp's share of the block's tiles.
  const int total = count * plan.num_tiles;
  const int first = total / kWarps * warp + min(warp, total % kWarps);
  int left = total / kWarps + (warp < total % kWarps ? 1 : 0);
  int pair = first / plan.num_tiles;  // of the block
  int tile = first - pair * plan.num_tiles;
  BlockScales<kStored, kScales> scales(p.weight, plan.scales, count, shared_of_quantized_gemv);
  scales.copy(begin);
  TileStream stream(plan, begin + pair, tile, left,
                    shared_of_quantized_gemv + warp * plan.num_stages * kStageBytes);
  stream.start();
  const std::int64_t features = p.epilogue.out_features;
  for (int part = 0; part <= plan.scales.num_pairs; part += plan.scales.num_pairs) {
    prefetch_biases(p.epilogue, std::int64_t{begin + part} * kQuantTileRows,
                    min(std::int64_t{begin + part + count} * kQuantTileRows, features));
    if (p.epilogue.gated) break;
  }
  const RowLayout layout = RowLayout::of(p.weight.in_features, kQuantTileInputs<kStored>);
  auto* rows = reinterpret_cast<uint4*>(shared_of_quantized_gemv + plan.rows_at);
  {
    NormRow<T, 4, kHeld> norm(p.norm);
    wait_for_earlier_kernels();
    prepare_rows<T>(p, layout, norm, rows);
  }
  bool began = left == 0 || tile == 0;
  if (lane == 0) continued[warp] = began ? kNoPair : pair;
  wait_for_copy_groups(plan.num_stages);  // the scales, which came before the stages
  __syncthreads();

  constexpr int kTileBytes = kQuantTileInputs<kStored> * 2;  // of a row of the batch
  // Lanes without a row of the batch read the last one.
  const int lane_row = min(lane % 8, p.num_rows - 1);
  const int next_tile_bytes = 16 * layout.stride * (min(lane_row + 8, p.num_rows - 1) - lane_row);
  const std::uint32_t lane_vector = shared_address(rows + lane_row * layout.stride + lane / 8);
  const PartialSums<kRowTiles> partial_sums(plan, shared_of_quantized_gemv);
  float sums[kRowTiles][4] = {};
  int unfinished = kNoPair;
  for (bool is_last = false; !is_last;) {
    int complete = kNoPair;
    bool is_partial = false;
    if (left > 0) {
      const int run = min(left, plan.num_tiles - tile);
      scales.place(pair, tile);
      std::uint32_t row = lane_vector + tile * kTileBytes;
#pragma unroll 1
      for (int i = 0; i < run; ++i) {
        uint4 own[2];
        stream.take(own);
        multiply_tile_pair<T, kStored, kRowTiles>(own, scales, row, next_tile_bytes, sums);
        stream.move_on();
        scales.move_on();
        row += kTileBytes;
      }
      left -= run;
      if (!began) {
        is_partial = began = true;
      } else if (tile + run == plan.num_tiles) {
        complete = pair;
      } else {
        unfinished = pair;
      }
      tile = 0;
      ++pair;
    } else {
      is_last = true;
      __syncthreads();
      complete = unfinished;
      for (int i = warp + 1; unfinished != kNoPair && i < kWarps; ++i) {
        if (continued[i] != unfinished) break;
        partial_sums.add(i, sums);
      }
    }
    if (!is_partial && complete == kNoPair) continue;
    if (is_partial) partial_sums.put(sums);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      if (!is_partial) store_pair(plan, begin + complete, i, sums[i]);
      sums[i][0] = sums[i][1] = sums[i][2] = sums[i][3] = 0.0f;
    }
  }
}

constexpr std::size_t kStaticBytes = 1024;

std::int64_t ceil_of(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// The plan with so many stages.
Plan plan_with(const QuantizedGemvParams& params, int num_stages) {
  const QuantizedWeight& weight = params.weight;
  const int tile_inputs = quant_tile_inputs(weight.stored);
  Plan plan{params};
  plan.num_stages = num_stages;
  plan.num_tiles = static_cast<int>(ceil_of(weight.in_features, tile_inputs));
  const std::int64_t rows_at = std::int64_t{kWarps} * num_stages * kStageBytes;
  const std::int64_t scales_at =
      rows_at +
      std::int64_t{16} * RowLayout::of(weight.in_features, tile_inputs).stride * params.num_rows;
  const std::int64_t pairs = ceil_of(weight.weight_rows, 2 * kQuantTileRows);
  std::int64_t end = 0;
  plan.scales = ScalesPlan::of(weight, ceil_of(pairs, params.num_multiprocessors), scales_at, end);
  plan.pairs_of_block = static_cast<int>(pairs / params.num_multiprocessors);
  plan.blocks_with_more = static_cast<int>(pairs % params.num_multiprocessors);
  plan.rows_at = static_cast<int>(rows_at);
  plan.partial_sums_at = static_cast<int>(std::min<std::int64_t>(end, INT32_MAX));
  end += params.num_rows <= 8 ? PartialSums<1>::bytes(params.num_rows)
                              : PartialSums<2>::bytes(params.num_rows);
  plan.shared_bytes = static_cast<int>(std::min<std::int64_t>(end, INT32_MAX));
  return plan;
}

/// The plan with as many stages as fit beside another kernel's block, else as fit alone; without
/// stages if none does.
Plan plan_for(const QuantizedGemvParams& params) {
  constexpr std::size_t kReservedBytes = 1024;  // by CUDA, of each block
  const std::size_t most = max_shared_bytes();
  const std::size_t half = std::max(kMaxSharedBytes, one_block_shared_bytes() - kReservedBytes);
  const bool one_block_per_sm = params.use_pdl && params.num_rows > 1;
  for (const std::size_t limit : {one_block_per_sm ? most : std::min(half, most), most}) {
    for (const int stages : {kMostStages, kSomeStages, kFewestStages}) {
      const Plan plan = plan_with(params, stages);
      if (static_cast<std::size_t>(plan.shared_bytes) + kStaticBytes <= limit) return plan;
    }
  }
  return {params};
}

}  // namespace

bool quantized_gemv_supports(const QuantizedGemvParams& params) {
  return params.num_rows <= kMaxQuantizedGemvRows && params.weight.in_features % 8 == 0 &&
         (!params.epilogue.gated || params.epilogue.out_features % kQuantTileRows == 0) &&
         plan_for(params).num_stages > 0;
}

void quantized_gemv(const QuantizedGemvParams& params, cudaStream_t stream) {
  const Plan plan = plan_for(params);
  const QuantizedWeight& weight = params.weight;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(params.num_multiprocessors)),
                          .block = dim3(kThreads),
                          .shared_bytes = static_cast<std::size_t>(plan.shared_bytes),
                          .use_pdl = params.use_pdl,
                          .one_block_per_sm = params.use_pdl && params.num_rows > 1};  // as gemv()
  dispatch_half(params.dtype, "quantized_gemv", [&]<typename T>() {
    dispatch_stored(weight.stored, "quantized_gemv", [&]<DType kStored>() {
      const auto run = [&]<Scales kScales, int kRowTiles>() {
        launch(quantized_gemv_kernel<T, kStored, kScales, kRowTiles>, shape, stream, plan);
      };
      const auto run_rows = [&]<Scales kScales>() {
        // Beyond eight rows zero points are few more instructions among many.
        constexpr Scales kOfMany = kScales == Scales::half_symmetric ? Scales::half : kScales;
        if (params.num_rows > 8) return run.template operator()<kOfMany, 2>();
        run.template operator()<kScales, 1>();
      };
      if (plan.scales.tiles_of_group == 0) return run_rows.template operator()<Scales::fine>();
      if (weight.scale_dtype != DType::float16) {
        return run_rows.template operator()<Scales::single>();
      }
      if (weight.zero_points != nullptr) return run_rows.template operator()<Scales::half>();
      run_rows.template operator()<Scales::half_symmetric>();
    });
  });
}

}  // namespace quern::kernels
