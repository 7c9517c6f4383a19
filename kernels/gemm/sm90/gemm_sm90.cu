#include <algorithm>
#include <iterator>

#include "kernels/common/dispatch.h"
#include "kernels/common/sm90/launch_cluster.h"
#include "kernels/common/sm90/tensor_map.h"
#include "kernels/gemm/sm90/gemm_consumer.cuh"
#include "kernels/gemm/sm90/gemm_cut.h"
#include "kernels/gemm/sm90/gemm_producer.cuh"
#include "kernels/gemm/sm90/gemm_sm90.h"

namespace quern::kernels {
namespace {

constexpr int kThreads = GemmBlock<__half, 256, 2, 1>::kThreads;
constexpr int kDepth = GemmBlock<__half, 256, 2, 1>::kDepth;

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr int kLaunchBound = kThreads;
#else
constexpr int kLaunchBound = 32;  // tells has_gemm_sm90() that there is no code
#endif

/// grid: clusters, as many as run at a time; where in_features are split, one for each tile.
template <typename T, int kWidth, int kPair, int kSplits>
__global__ void __launch_bounds__(kLaunchBound, 1)
    gemm_sm90_kernel(const __grid_constant__ GemmSm90KernelParams params) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Block = GemmBlock<T, kWidth, kPair, kSplits>;
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
    if constexpr (kSplits > 1) cluster_sync();  // the consumers' exchange
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Block::kConsumerRegisters));
    GemmConsumer<T, Block>(params, shared).run();
  }
  // The other blocks may still read this one's shared memory, or arrive at its barriers.
  if constexpr (Block::kCluster > 1) cluster_sync();
#endif
}

constexpr GemmSm90Layout kLayouts[] = {
    {256, 2, 1}, {192, 2, 1}, {128, 2, 1}, {256, 1, 1}, {192, 1, 1},
    {128, 1, 1}, {192, 1, 2}, {128, 1, 2}, {128, 1, 3},
};

GemmSizes sizes_of(const GemmSm90Params& p) {
  return {p.num_rows, (p.in_features + kDepth - 1) / kDepth, p.epilogue, p.num_multiprocessors};
}

template <typename T, int kWidth, int kPair, int kSplits>
void launch_layout(const GemmSm90Params& p, const GemmSm90Layout& layout, cudaStream_t stream) {
  using Block = GemmBlock<T, kWidth, kPair, kSplits>;
  const GemmCut cut(sizes_of(p), layout);
  GemmSm90KernelParams params;
  params.rows = make_tensor_map({.dtype = p.dtype,
                                 .data = p.in,
                                 .rows = p.num_rows,
                                 .columns = p.in_features,
                                 .box_rows = Block::kRows},
                                "the rows of a product");
  params.weights = make_tensor_map({.dtype = p.dtype,
                                    .data = p.weight,
                                    .rows = p.epilogue.weight_rows(),
                                    .columns = p.in_features,
                                    .box_rows = Block::kBoxRows},
                                   "the weight of a product");
  params.out = make_tensor_map({.dtype = p.dtype,
                                .data = p.epilogue.out,
                                .rows = p.num_rows,
                                .columns = p.epilogue.out_features,
                                .box_rows = 64,
                                .box_columns = 32},
                               "the output of a product");
  params.num_rows = p.num_rows;
  params.epilogue = p.epilogue;
  params.row_tiles = static_cast<int>(cut.row_tiles);
  params.feature_tiles = static_cast<int>(cut.feature_tiles);
  params.depth_steps = static_cast<int>(cut.depth_steps);
  const std::int64_t clusters =
      kSplits > 1 ? cut.tiles() : std::min(cut.tiles(), cut.clusters_at_a_time);
  launch_clusters(gemm_sm90_kernel<T, kWidth, kPair, kSplits>,
                  {.grid = dim3(static_cast<unsigned>(clusters * Block::kCluster)),
                   .block = dim3(Block::kThreads),
                   .shared_bytes = sizeof(typename Block::SharedMemory),
                   .use_pdl = p.use_pdl},
                  Block::kCluster, stream, params);
}

template <typename T, std::size_t... kIndices>
bool launch_one_of(const GemmSm90Params& p, const GemmSm90Layout& layout, cudaStream_t stream,
                   std::index_sequence<kIndices...>) {
  return ((layout == kLayouts[kIndices] &&
           (launch_layout<T, kLayouts[kIndices].width, kLayouts[kIndices].pair,
                          kLayouts[kIndices].splits>(p, layout, stream),
            true)) ||
          ...);
}

}  // namespace

std::span<const GemmSm90Layout> gemm_sm90_layouts() { return kLayouts; }

bool has_gemm_sm90() {
  const auto* kernel = reinterpret_cast<const void*>(gemm_sm90_kernel<__half, 256, 2, 1>);
  cudaFuncAttributes attributes{};
  check_launch(cudaFuncGetAttributes(&attributes, kernel), kernel, {});
  return attributes.maxThreadsPerBlock >= kThreads && attributes.binaryVersion == 90 &&
         has_tensor_maps();
}

bool gemm_sm90_supports(const GemmSm90Params& p) {
  constexpr std::int64_t kElements = 8;  // of 16 bytes
  return p.dtype != DType::float32 && p.epilogue.out_dtype == p.dtype &&
         p.in_features % kElements == 0 && p.epilogue.out_features % kElements == 0 &&
         p.epilogue.activation != Activation::gelu;
}

void gemm_sm90(const GemmSm90Params& p, cudaStream_t stream) {
  const GemmSm90Layout layout = p.layout ? *p.layout : best_gemm_layout(sizes_of(p), kLayouts);
  dispatch_half(p.dtype, "gemm_sm90", [&]<typename T>() {
    if (launch_one_of<T>(p, layout, stream, std::make_index_sequence<std::size(kLayouts)>())) {
      return;
    }
    throw DispatchError("gemm_sm90: no layout of width " + std::to_string(layout.width) +
                        ", pair " + std::to_string(layout.pair) + ", splits " +
                        std::to_string(layout.splits));
  });
}

}  // namespace quern::kernels
