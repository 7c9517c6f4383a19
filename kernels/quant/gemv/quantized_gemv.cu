#include <algorithm>

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/quant/dispatch_stored.h"
#include "kernels/quant/gemv/quantized_gemv_parts.cuh"
#include "kernels/quant/tile_pair.cuh"

namespace quern::kernels {
namespace {

using namespace quantized_gemv_parts;

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
