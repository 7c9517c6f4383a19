#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels/common/dispatch.h"
#include "kernels/common/sm90/launch_cluster.h"
#include "kernels/common/sm90/tensor_map.h"
#include "kernels/gemm/sm90/gemm_consumer.cuh"
#include "kernels/gemm/sm90/gemm_cut.h"
#include "kernels/gemm/sm90/gemm_producer.cuh"

namespace quern::kernels {

// The kernel of gemm_sm90() and of those of 8 bits, and how it is launched. A Block (see GemmBlock)
// says what differs.

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
template <typename Block>
inline constexpr int kGemmLaunchBound = Block::kThreads;
#else
template <typename Block>
inline constexpr int kGemmLaunchBound = 32;  // tells has_gemm_code() that there is none
#endif

/// T: of the output. grid: clusters, as many as run at a time; where in_features are split, one for
/// each tile.
template <typename T, typename Block>
__global__ void __launch_bounds__(kGemmLaunchBound<Block>, 1)
    gemm_sm90_kernel(const __grid_constant__ typename Block::KernelParams params) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  let_next_kernel_start();
  extern __shared__ __align__(1024) unsigned char shared_bytes[];
  auto& shared = *reinterpret_cast<typename Block::SharedMemory*>(shared_bytes);
  if (threadIdx.x == 0) Block::init_barriers(shared);
  if constexpr (Block::kCluster > 1) {
    cluster_sync();
  } else {
    __syncthreads();
  }
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Block::kProducerRegisters));
    if (threadIdx.x == 0) GemmProducer<Block>(params, shared).run();
    __syncwarp();
    if constexpr (Block::kSplits > 1) cluster_sync();  // the consumers' exchange
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Block::kConsumerRegisters));
    GemmConsumer<T, Block>(params, shared).run();
  }
  // The other blocks may still read this one's shared memory, or arrive at its barriers.
  if constexpr (Block::kCluster > 1) cluster_sync();
#endif
}

/// Whether this build has the sm_90a code of a Block's kernels and the current device runs it.
/// Errors: LaunchError when a CUDA call fails.
template <typename Block>
bool has_gemm_code() {
  const auto* kernel = reinterpret_cast<const void*>(gemm_sm90_kernel<__half, Block>);
  cudaFuncAttributes attributes{};
  check_launch(cudaFuncGetAttributes(&attributes, kernel), kernel, {});
  return attributes.maxThreadsPerBlock >= Block::kThreads && attributes.binaryVersion == 90 &&
         has_tensor_maps();
}

/// Launches a Block's kernel for an output of T. `params` has the maps of rows and weights, and
/// what the Block adds; the rest is filled in. Errors: LaunchError.
template <typename T, typename Block>
void launch_gemm(typename Block::KernelParams params, const GemmSizes& sizes,
                 const GemmSm90Layout& layout, bool use_pdl, cudaStream_t stream) {
  const GemmCut cut(sizes, layout);
  params.out = make_tensor_map({.dtype = sizes.epilogue.out_dtype,
                                .data = sizes.epilogue.out,
                                .rows = sizes.num_rows,
                                .columns = sizes.epilogue.out_features,
                                .box_rows = 64,
                                .box_columns = 32},
                               "the output of a product");
  params.num_rows = sizes.num_rows;
  params.epilogue = sizes.epilogue;
  params.row_tiles = static_cast<int>(cut.row_tiles);
  params.feature_tiles = static_cast<int>(cut.feature_tiles);
  params.depth_steps = static_cast<int>(cut.depth_steps);
  const std::int64_t clusters =
      Block::kSplits > 1 ? cut.tiles() : std::min(cut.tiles(), cut.clusters_at_a_time);
  launch_clusters(gemm_sm90_kernel<T, Block>,
                  {.grid = dim3(static_cast<unsigned>(clusters * Block::kCluster)),
                   .block = dim3(Block::kThreads),
                   .shared_bytes = sizeof(typename Block::SharedMemory),
                   .use_pdl = use_pdl},
                  Block::kCluster, stream, params);
}

/// launch(the layout's index in kLayouts, as a constant). Errors: DispatchError, naming `gemm`,
/// where it is not one of them.
template <const auto& kLayouts, typename Launch>
void dispatch_layout(const GemmSm90Layout& layout, const char* gemm, const Launch& launch) {
  const auto launch_one_of = [&]<std::size_t... kIndices>(std::index_sequence<kIndices...>) {
    return ((layout == kLayouts[kIndices] &&
             (launch(std::integral_constant<std::size_t, kIndices>()), true)) ||
            ...);
  };
  constexpr std::size_t kCount = std::extent_v<std::remove_cvref_t<decltype(kLayouts)>>;
  if (launch_one_of(std::make_index_sequence<kCount>())) return;
  throw_no_layout(gemm, layout);
}

}  // namespace quern::kernels
