#include <algorithm>

#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/sm90/cluster.cuh"
#include "kernels/common/sm90/launch_cluster.h"
#include "kernels/common/sm90/tensor_map.h"
#include "kernels/quant/dispatch_stored.h"
#include "kernels/quant/sm90/quantized_gemm_sm90.h"
#include "kernels/quant/sm90/quantized_gemm_sm90_block.cuh"

namespace quern::kernels {
namespace {

using namespace quantized_sm90;

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr int kLaunchBound = kMaxThreads;
#else
constexpr int kLaunchBound = 32;  // there is no code
#endif

/// Grid: clusters of plan.splits blocks, one for each of the groups of pairs that the warpgroups of
/// a block have; kRows rows of the batch each along y.
template <typename T, DType kStored, Scales kScales, int kRows>
__global__ void __launch_bounds__(kLaunchBound, 1)
    quantized_gemm_sm90_kernel(const __grid_constant__ Plan plan) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using L = Layout<kStored, kRows>;
  extern __shared__ __align__(1024) std::byte shared_of_quantized_gemm_sm90[];
  std::byte* const shared = shared_of_quantized_gemm_sm90;
  let_next_kernel_start();
  auto* full = reinterpret_cast<std::uint64_t*>(shared + plan.barriers_at);
  std::uint64_t* empty = full + kRowStages;
  const int consumers = plan.warpgroups * kWarpgroup;
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kWarpSize, 0);
  const int splits = plan.splits;
  const int split = splits > 1 ? cluster_rank() : 0;
  const TileRange range(plan, split);
  const int first_row = kRows * static_cast<int>(blockIdx.y);
  const int pairs_of_block = plan.warpgroups * kPairsOfWarpgroup;
  const int begin = static_cast<int>(blockIdx.x) / splits * pairs_of_block;
  const int count = min(pairs_of_block, plan.scales.num_pairs - begin);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kRowStages; ++i) {
      init_barrier(&full[i], 1);
      init_barrier(&empty[i], plan.warpgroups * (kWarpgroup / kWarpSize));
    }
    publish_barriers();
  }
  BlockScales<kStored, kScales> scales(plan.params.weight, plan.scales, count, shared);
  scales.copy(begin);
  const bool is_producer = static_cast<int>(threadIdx.x) >= consumers;
  // Warps beyond the last pair repeat it: wgmma is of all four warps.
  const int own = min(warp, count - 1);
  PairStream stream(plan, begin + own, range,
                    shared + plan.weights_at + warp * kWeightStages * kWeightStageBytes);
  if (!is_producer) {
    stream.start();
    wait_for_copy_groups<kWeightStages>();  // the scales, which came before
  } else {
    wait_for_copies();
  }
  __syncthreads();

  if (is_producer) {
    if (static_cast<int>(threadIdx.x) == consumers)
      produce_rows<L>(plan, range, first_row, shared, full, empty);
    __syncwarp();
    if (splits > 1) {
      cluster_sync();  // the consumers' exchange
      cluster_sync();
    }
    return;
  }
  float sums[kRows / 2] = {};
  RingPlace<kRowStages> place;
  scales.place(own, range.begin);
  for (int tile = range.begin; tile < range.end; ++tile) {
    uint4 vectors[2];
    stream.take(vectors);
    wait_for_phase(&full[place.stage], place.parity);
    multiply_tile<T, kStored, kRows>(vectors, scales, shared + place.stage * L::kRowStageBytes,
                                     sums);
    if (threadIdx.x % kWarpSize == 0) arrive(&empty[place.stage]);
    stream.move_on();
    scales.move_on();
    place.advance();
  }
  wait_for_earlier_kernels();  // they may still read what is written here
  constexpr int kFragments = kRows / 8;
  const int pair = begin + warp;
  if (splits == 1) {
#pragma unroll
    for (int i = 0; i < kFragments; ++i) {
      finish_fragment(plan, pair, first_row + 8 * i,
                      {sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]});
    }
    return;
  }
  // The sums take the place of the rows' stages, which no warpgroup reads any more.
  named_barrier_wait(kConsumerBarrier, consumers);
  auto* mine = reinterpret_cast<float4*>(shared) + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kFragments; ++i) {
    mine[i * consumers] = {sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]};
  }
  cluster_sync();
#pragma unroll 1
  for (int i = split; i < kFragments; i += splits) {
    float4 total{};
    for (int rank = 0; rank < splits; ++rank) {
      const float4 part = load_from_block(address_in_block(mine + i * consumers, rank));
      total.x += part.x;
      total.y += part.y;
      total.z += part.z;
      total.w += part.w;
    }
    finish_fragment(plan, pair, first_row + 8 * i, total);
  }
  cluster_sync();  // others may still read this block's sums
#endif
}

std::int64_t ceil_of(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// The warpgroups of a block and blocks of a cluster that need the fewest tiles one after another.
void choose_layout(const QuantizedGemmParams& params, std::int64_t num_tiles, Plan& plan) {
  constexpr std::int64_t kTilesOfStart = 6;  // a block's start, exchange and epilogue
  std::int64_t least = INT64_MAX;
  for (const int warpgroups : {3, 2, 1}) {
    for (const int splits : {1, 2, 4}) {
      static_assert(kMaxSplits == 4 && kMaxWarpgroups == 3);
      if (splits > num_tiles) continue;
      const std::int64_t blocks =
          ceil_of(plan.scales.num_pairs, warpgroups * kPairsOfWarpgroup) * splits;
      const std::int64_t waves = ceil_of(blocks, params.num_multiprocessors);
      const std::int64_t cost =
          waves * (ceil_of(num_tiles, splits) * (warpgroups + 1) + kTilesOfStart);
      if (cost < least) {
        least = cost;
        plan.warpgroups = warpgroups;
        plan.splits = splits;
      }
    }
  }
}

template <DType kStored, int kRows>
Plan plan_for(const QuantizedGemmParams& params) {
  using L = Layout<kStored, kRows>;
  Plan plan{};
  plan.params = params;
  plan.num_tiles = static_cast<int>(ceil_of(params.weight.in_features, L::kTileInputs));
  std::int64_t end = 0;
  plan.scales = ScalesPlan::of(params.weight, 0, 0, end);
  choose_layout(params, plan.num_tiles, plan);
  const int warps = plan.warpgroups * (kWarpgroup / kWarpSize);
  plan.weights_at = kRowStages * L::kRowStageBytes;
  const int scales_at = plan.weights_at + warps * kWeightStages * kWeightStageBytes;
  plan.scales = ScalesPlan::of(params.weight, plan.warpgroups * kPairsOfWarpgroup, scales_at, end);
  plan.barriers_at = static_cast<int>(end);
  plan.shared_bytes = plan.barriers_at + 2 * kRowStages * static_cast<int>(sizeof(std::uint64_t));
  // The exchange of sums.
  static_assert(kMaxWarpgroups * kWarpgroup * kRows * 2 <= kRowStages * L::kRowStageBytes ||
                L::kBoxes == 1);
  plan.shared_bytes = std::max(plan.shared_bytes, plan.warpgroups * kWarpgroup * kRows * 2);
  return plan;
}

/// Calls body<kRows>().
template <typename Body>
void dispatch_rows(std::int64_t num_rows, const Body& body) {
  if (num_rows <= 32) return body.template operator()<32>();
  body.template operator()<64>();
}

}  // namespace

bool quantized_gemm_sm90_supports(const QuantizedGemmParams& params) {
  if (params.num_rows > kMaxQuantizedGemmSm90Rows || params.weight.in_features % 8 != 0 ||
      (params.epilogue.gated && params.epilogue.out_features % kQuantTileRows != 0) ||
      params.weight.group_size < quant_tile_inputs(params.weight.stored)) {
    return false;
  }
  bool fits = false;
  dispatch_stored(params.weight.stored, "quantized_gemm_sm90", [&]<DType kStored>() {
    dispatch_rows(params.num_rows, [&]<int kRows>() {
      fits = static_cast<std::size_t>(plan_for<kStored, kRows>(params).shared_bytes) <=
             max_shared_bytes();
    });
  });
  return fits;
}

void quantized_gemm_sm90(const QuantizedGemmParams& params, cudaStream_t stream) {
  dispatch_half(params.dtype, "quantized_gemm_sm90", [&]<typename T>() {
    dispatch_stored(params.weight.stored, "quantized_gemm_sm90", [&]<DType kStored>() {
      dispatch_rows(params.num_rows, [&]<int kRows>() {
        Plan plan = plan_for<kStored, kRows>(params);
        plan.rows = make_tensor_map({.dtype = params.dtype,
                                     .data = params.in,
                                     .rows = params.num_rows,
                                     .columns = params.weight.in_features,
                                     .box_rows = kRows},
                                    "the rows of a product");
        const std::int64_t clusters =
            ceil_of(plan.scales.num_pairs, plan.warpgroups * kPairsOfWarpgroup);
        const LaunchShape shape{
            .grid = dim3(static_cast<unsigned>(clusters * plan.splits),
                         static_cast<unsigned>(ceil_of(params.num_rows, kRows))),
            .block = dim3(static_cast<unsigned>(plan.warpgroups * kWarpgroup + kWarpSize)),
            .shared_bytes = static_cast<std::size_t>(plan.shared_bytes),
            .use_pdl = params.use_pdl};
        const auto run = [&]<Scales kScales>() {
          launch_clusters(quantized_gemm_sm90_kernel<T, kStored, kScales, kRows>, shape,
                          static_cast<unsigned>(plan.splits), stream, plan);
        };
        if (params.weight.scale_dtype == DType::float16) {
          run.template operator()<Scales::half>();
        } else {
          run.template operator()<Scales::single>();
        }
      });
    });
  });
}

}  // namespace quern::kernels
