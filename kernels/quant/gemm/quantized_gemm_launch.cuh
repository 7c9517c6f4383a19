#pragma once

#include <algorithm>

#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/quant/gemm/quantized_gemm_block.cuh"

namespace quern::kernels {

/// Grid: pairs of tiles across the multiprocessors; blocks of M.
template <typename T, DType kStored, bool kFine, typename L>
__global__ void __launch_bounds__(kQuantizedGemmWarps* kWarpSize, L::kKernelsAtOnce)
    quantized_gemm_kernel(const __grid_constant__ QuantizedGemmPlan plan) {
  extern __shared__ __align__(128) std::byte shared_of_quantized_gemm[];
  let_next_kernel_start();
  const QuantizedGemmParams& p = plan.params;
  const TilePairs pairs{p.weight, p.epilogue.gated, static_cast<int>(p.epilogue.out_features)};
  QuantizedGemmBlock<T, kStored, kFine, L>(plan, pairs, shared_of_quantized_gemm).run();
}

inline constexpr int kFewestQuantizedGemmStages = 2;
inline constexpr int kEnoughQuantizedGemmStages = 3;

/// Whether enough stages of a layout fit into shared memory.
template <DType kStored, typename L>
bool fits_stages() {
  return kEnoughQuantizedGemmStages * QuantizedGemmStage<L, kStored, true>::bytes(1) <=
         static_cast<int>(max_shared_bytes());
}

/// Whether a layout runs on every GPU.
template <DType kStored, typename L>
inline constexpr bool kFitsEverywhere =
    kFewestQuantizedGemmStages*(QuantizedGemmStage<L, kStored, true>::kRowsBytes +
                                kQuantizedGemmWarps *
                                    QuantizedGemmStage<L, kStored, true>::kPairBytes) <=
    static_cast<int>(kMaxSharedBytes);

/// Launches a layout with as many pairs in a pass and as many stages as fit into shared memory.
template <typename T, DType kStored, bool kFine, typename L>
void launch_quantized_gemm(const QuantizedGemmParams& params, int pairs_of_block,
                           cudaStream_t stream) {
  using Stage = QuantizedGemmStage<L, kStored, kFine>;
  constexpr int kEnoughStages = kEnoughQuantizedGemmStages;
  const auto max_shared = static_cast<int>(max_shared_bytes());
  const int wanted = std::min((pairs_of_block + L::kWarpsAlongN - 1) / L::kWarpsAlongN, L::kPairs);
  QuantizedGemmPlan plan{params, 0, std::max(wanted, 1)};
  for (; plan.pairs_of_warp > 1; --plan.pairs_of_warp) {
    if (max_shared / Stage::bytes(plan.pairs_of_warp) >= kEnoughStages) break;
  }
  const int stage_bytes = Stage::bytes(plan.pairs_of_warp);
  // No more than keeps the memory busy: blocks of other kernels want room beside this one.
  const int useful =
      std::max(static_cast<int>(one_block_shared_bytes()) / stage_bytes, kEnoughStages);
  plan.num_stages = std::min({max_shared / stage_bytes, useful, kMaxQuantizedGemmStages});
  const std::size_t shared_bytes = std::max(static_cast<std::size_t>(plan.num_stages * stage_bytes),
                                            Stage::reduction_bytes(plan.pairs_of_warp));
  launch(quantized_gemm_kernel<T, kStored, kFine, L>,
         {.grid = dim3(static_cast<unsigned>(params.num_multiprocessors),
                       static_cast<unsigned>((params.num_rows + L::kRows - 1) / L::kRows)),
          .block = dim3(kQuantizedGemmWarps * kWarpSize),
          .shared_bytes = shared_bytes,
          .use_pdl = params.use_pdl,
          .one_block_per_sm = true},
         stream, plan);
}

/// quantized_gemm() for weights of one type.
template <DType kStored>
void quantized_gemm_of(const QuantizedGemmParams& params, cudaStream_t stream) {
  const std::int64_t pairs =
      (params.weight.weight_rows + 2 * kQuantTileRows - 1) / (2 * kQuantTileRows);
  const auto pairs_of_block =
      static_cast<int>((pairs + params.num_multiprocessors - 1) / params.num_multiprocessors);
  const bool is_fine = params.weight.group_size < kQuantTileInputs<kStored>;
  dispatch_half(params.dtype, "quantized_gemm", [&]<typename T>() {
    const auto run = [&]<typename L>() {
      if (is_fine) {
        launch_quantized_gemm<T, kStored, true, L>(params, pairs_of_block, stream);
      } else {
        launch_quantized_gemm<T, kStored, false, L>(params, pairs_of_block, stream);
      }
    };
    static_assert(kFitsEverywhere<kStored, QuantizedGemmLayout<1, 2, 6>> &&
                  kFitsEverywhere<kStored, QuantizedGemmLayout<2, 2, 6>> &&
                  kFitsEverywhere<kStored, QuantizedGemmLayout<4, 2, 2>> &&
                  kFitsEverywhere<kStored, QuantizedGemmLayout<8, 4, 3>>);
    if (params.num_rows <= 8) return run.template operator()<QuantizedGemmLayout<1, 2, 6>>();
    if (params.num_rows <= 16) return run.template operator()<QuantizedGemmLayout<2, 2, 6>>();
    if (params.num_rows <= 32) {
      if (pairs_of_block <= 4) return run.template operator()<QuantizedGemmLayout<4, 2, 2>>();
      return run.template operator()<QuantizedGemmLayout<4, 4, 3>>();
    }
    // With few pairs more warps split K.
    using Few = QuantizedGemmLayout<8, 2, 1>;
    if (pairs_of_block <= 2 && fits_stages<kStored, Few>()) return run.template operator()<Few>();
    run.template operator()<QuantizedGemmLayout<8, 4, 3>>();
  });
}

}  // namespace quern::kernels
