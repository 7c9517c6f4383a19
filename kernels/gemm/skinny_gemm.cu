#include <algorithm>

#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/gemm/skinny_block.cuh"
#include "kernels/gemm/skinny_gemm.h"

namespace quern::kernels {
namespace {

/// Bounds the registers so that a block of another kernel can be co-resident.
constexpr int kKernelsAtOnce = 2;

// Ordered by weight rows per block. Layouts that need more than kMaxSharedBytes come before those
// that cover as many tiles with less.
using LayoutsOfM16 =
    GemmLayouts<GemmLayout<16, 1, 1, 4, 3>, GemmLayout<16, 2, 1, 4, 3>, GemmLayout<16, 3, 1, 4, 3>,
                GemmLayout<16, 4, 1, 4, 3>, GemmLayout<16, 6, 1, 4, 3>, GemmLayout<16, 8, 1, 2, 4>,
                GemmLayout<16, 6, 2, 2, 4>, GemmLayout<16, 4, 4, 1, 5>, GemmLayout<16, 6, 4, 1, 5>,
                GemmLayout<16, 8, 4, 1, 4>, GemmLayout<16, 6, 2, 2, 3>, GemmLayout<16, 4, 4, 1, 3>,
                GemmLayout<16, 6, 4, 1, 3>, GemmLayout<16, 7, 4, 1, 3>>;
using LayoutsOfM32 =
    GemmLayouts<GemmLayout<32, 1, 1, 4, 3>, GemmLayout<32, 2, 1, 4, 3>, GemmLayout<32, 3, 1, 4, 3>,
                GemmLayout<32, 4, 1, 4, 3>, GemmLayout<32, 6, 1, 4, 3>, GemmLayout<32, 8, 1, 4, 3>,
                GemmLayout<32, 6, 2, 2, 4>, GemmLayout<32, 4, 4, 1, 5>, GemmLayout<32, 6, 4, 1, 5>,
                GemmLayout<32, 7, 4, 1, 4>, GemmLayout<32, 6, 1, 2, 4>, GemmLayout<32, 8, 1, 2, 4>,
                GemmLayout<32, 6, 2, 2, 3>, GemmLayout<32, 4, 4, 1, 3>, GemmLayout<32, 6, 4, 1, 3>,
                GemmLayout<32, 7, 4, 1, 3>>;
using LayoutsOfM64 =
    GemmLayouts<GemmLayout<64, 4, 1, 2, 3>, GemmLayout<64, 4, 4, 1, 3>, GemmLayout<64, 3, 8, 1, 3>>;

static_assert(LayoutsOfM16::kServeAll && LayoutsOfM32::kServeAll && LayoutsOfM64::kServeAll);

/// Kernel argument.
struct Plan {
  SkinnyGemmParams params;
  int pass_tiles = 0;  ///< tiles per pass, at most
};

template <typename T, typename L>
__global__ void __launch_bounds__(kGemmThreads, kKernelsAtOnce)
    skinny_gemm_kernel(const __grid_constant__ Plan plan) {
  extern __shared__ __align__(1024) uint4 shared_of_skinny_gemm[];  // see LaneFragments
  let_next_kernel_start();
  RowsInMemory rows;
  run_skinny_block<T, L>(plan.params, plan.pass_tiles, rows, shared_of_skinny_gemm);
}

template <typename T, typename Layouts>
void launch_layouts(const SkinnyGemmParams& params, cudaStream_t stream) {
  const int tiles = tiles_of_block(params.epilogue, params.num_multiprocessors);
  const std::size_t max_shared = std::min(max_shared_bytes(), params.most_shared_bytes);
  Layouts::dispatch(tiles, static_cast<int>(max_shared), [&]<typename L>(int pass_tiles) {
    const Plan plan{params, pass_tiles};
    launch(skinny_gemm_kernel<T, L>,
           {.grid = dim3(static_cast<unsigned>(params.num_multiprocessors),
                         static_cast<unsigned>((params.num_rows + L::kRows - 1) / L::kRows)),
            .block = dim3(kGemmThreads),
            .shared_bytes = L::kSharedBytes,
            .use_pdl = params.use_pdl,
            .one_block_per_sm = true},
           stream, plan);
  });
}

}  // namespace

bool skinny_gemm_supports(DType dtype, std::int64_t in_features) {
  return (dtype == DType::float16 || dtype == DType::bfloat16) && in_features % 8 == 0;
}

void skinny_gemm(const SkinnyGemmParams& params, cudaStream_t stream) {
  dispatch_half(params.dtype, "skinny_gemm", [&]<typename T>() {
    if (params.num_rows <= 16) return launch_layouts<T, LayoutsOfM16>(params, stream);
    if (params.num_rows <= 32) return launch_layouts<T, LayoutsOfM32>(params, stream);
    launch_layouts<T, LayoutsOfM64>(params, stream);
  });
}

}  // namespace quern::kernels
