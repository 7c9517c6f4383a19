#include <algorithm>

#include "kernels/common/epilogue.cuh"
#include "kernels/common/launch.h"
#include "kernels/epilogue.h"

namespace quern::kernels {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMaxBlocks = 1 << 16;

__global__ void __launch_bounds__(kThreads)
    apply_epilogue_kernel(const __grid_constant__ ApplyEpilogueParams p) {
  const Epilogue& epilogue = p.epilogue;
  const std::int64_t stride = epilogue.gated ? 2 * epilogue.out_features : epilogue.out_features;
  const std::int64_t count = p.num_rows * epilogue.out_features;
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const std::int64_t row = i / epilogue.out_features;
    const std::int64_t feature = i - row * epilogue.out_features;
    const float* product = p.products + row * stride + feature;
    finish(epilogue, row, feature, product[0],
           epilogue.gated ? product[epilogue.out_features] : 0.0f);
  }
}

}  // namespace

void apply_epilogue(const ApplyEpilogueParams& params, cudaStream_t stream) {
  const std::int64_t count = params.num_rows * params.epilogue.out_features;
  const std::int64_t blocks =
      std::clamp<std::int64_t>((count + kThreads - 1) / kThreads, 1, kMaxBlocks);
  launch(apply_epilogue_kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(kThreads)}, stream, params);
}

}  // namespace quern::kernels
