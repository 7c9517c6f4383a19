#include <algorithm>
#include <iterator>
#include <utility>

#include "kernels/common/dispatch.h"
#include "kernels/common/sm90/launch_cluster.h"
#include "kernels/common/sm90/tensor_map.h"
#include "kernels/gemm/sm90/gemm_consumer.cuh"
#include "kernels/gemm/sm90/gemm_cut.h"
#include "kernels/gemm/sm90/gemm_producer.cuh"
#include "kernels/quant/float8/float8_block.cuh"
#include "kernels/quant/float8/weight_tiles_map.h"

namespace quern::kernels {
namespace {

constexpr int kThreads = Float8GemmBlock<192, 2>::kThreads;

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr int kLaunchBound = kThreads;
#else
constexpr int kLaunchBound = 32;  // tells has_float8_gemm_sm90() that there is no code
#endif

/// grid: clusters, as many as run at a time.
template <typename T, int kWidth, int kPair>
__global__ void __launch_bounds__(kLaunchBound, 1)
    float8_gemm_sm90_kernel(const __grid_constant__ Float8GemmSm90KernelParams params) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Block = Float8GemmBlock<kWidth, kPair>;
  let_next_kernel_start();
  extern __shared__ __align__(1024) unsigned char float8_gemm_shared[];
  auto& shared = *reinterpret_cast<typename Block::SharedMemory*>(float8_gemm_shared);
  if (threadIdx.x == 0) Block::init_barriers(shared);
  if constexpr (kPair > 1) {
    cluster_sync();
  } else {
    __syncthreads();
  }
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Block::kProducerRegisters));
    if (threadIdx.x == 0) GemmProducer<Block>(params, shared).run();
    __syncwarp();
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Block::kConsumerRegisters));
    GemmConsumer<T, Block>(params, shared).run();
  }
  // The other blocks may still arrive at this one's barriers.
  if constexpr (kPair > 1) cluster_sync();
#endif
}

constexpr GemmSm90Layout kLayouts[] = {
    {192, 2, 1},
    {128, 2, 1},
    {192, 1, 1},
    {128, 1, 1},
};

GemmSizes sizes_of(const Float8GemmParams& p) {
  constexpr int kDepth = Float8GemmBlock<192, 2>::kDepth;
  return {p.num_rows, (p.weight.in_features + kDepth - 1) / kDepth, p.epilogue,
          p.num_multiprocessors};
}

template <typename T, int kWidth, int kPair>
void launch_layout(const Float8GemmParams& p, const GemmSm90Layout& layout, cudaStream_t stream) {
  using Block = Float8GemmBlock<kWidth, kPair>;
  const GemmCut cut(sizes_of(p), layout);
  Float8GemmSm90KernelParams params;
  params.rows = make_tensor_map({.dtype = DType::uint8,
                                 .data = p.in.values,
                                 .rows = p.num_rows,
                                 .columns = float8_row_bytes(p.weight.in_features),
                                 .box_rows = Block::kRows,
                                 .box_columns = Block::kDepth},
                                "the rows of a product");
  params.weights = make_weight_tiles_map(p.weight, Block::kBoxRows);
  params.out = make_tensor_map({.dtype = p.epilogue.out_dtype,
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
  params.row_scales = p.in.scales;
  params.weight = p.weight;
  const std::int64_t clusters = std::min(cut.tiles(), cut.clusters_at_a_time);
  launch_clusters(float8_gemm_sm90_kernel<T, kWidth, kPair>,
                  {.grid = dim3(static_cast<unsigned>(clusters * kPair)),
                   .block = dim3(Block::kThreads),
                   .shared_bytes = sizeof(typename Block::SharedMemory),
                   .use_pdl = p.use_pdl},
                  kPair, stream, params);
}

template <typename T, std::size_t... kIndices>
bool launch_float8_layout(const Float8GemmParams& p, const GemmSm90Layout& layout,
                          cudaStream_t stream, std::index_sequence<kIndices...>) {
  return ((layout == kLayouts[kIndices] &&
           (launch_layout<T, kLayouts[kIndices].width, kLayouts[kIndices].pair>(p, layout, stream),
            true)) ||
          ...);
}

}  // namespace

std::span<const GemmSm90Layout> float8_gemm_sm90_layouts() { return kLayouts; }

bool has_float8_gemm_sm90() {
  const auto* kernel = reinterpret_cast<const void*>(float8_gemm_sm90_kernel<__half, 192, 2>);
  cudaFuncAttributes attributes{};
  check_launch(cudaFuncGetAttributes(&attributes, kernel), kernel, {});
  return attributes.maxThreadsPerBlock >= kThreads && attributes.binaryVersion == 90 &&
         has_tensor_maps();
}

bool float8_gemm_sm90_supports(const Float8GemmParams& p) {
  constexpr std::int64_t kElements = 8;  // of 16 bytes
  const QuantizedWeight& w = p.weight;
  return w.stored == DType::float8_e4m3 && w.is_tiled && w.num_groups == 1 &&
         w.zero_points == nullptr && w.input_permutation == nullptr &&
         p.epilogue.out_dtype != DType::float32 && p.epilogue.out_features % kElements == 0 &&
         is_fused_activation(p.epilogue.activation) && p.epilogue.activation != Activation::gelu;
}

void float8_gemm_sm90(const Float8GemmParams& p, cudaStream_t stream) {
  const GemmSm90Layout layout = p.layout ? *p.layout : best_gemm_layout(sizes_of(p), kLayouts);
  dispatch_half(p.epilogue.out_dtype, "float8_gemm_sm90", [&]<typename T>() {
    if (launch_float8_layout<T>(p, layout, stream,
                                std::make_index_sequence<std::size(kLayouts)>())) {
      return;
    }
    throw DispatchError("float8_gemm_sm90: no layout of width " + std::to_string(layout.width) +
                        ", pair " + std::to_string(layout.pair) + ", splits " +
                        std::to_string(layout.splits));
  });
}

}  // namespace quern::kernels
