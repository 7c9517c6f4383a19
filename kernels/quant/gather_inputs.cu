#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/launch.h"
#include "kernels/quant/gather_inputs.h"

namespace quern::kernels {
namespace {

constexpr int kGatherThreads = 256;

/// Grid: blocks of inputs, rows.
__global__ void __launch_bounds__(kGatherThreads)
    gather_inputs_kernel(const __grid_constant__ GatherInputsParams p) {
  let_next_kernel_start();
  const std::int64_t input = std::int64_t{blockIdx.x} * kGatherThreads + threadIdx.x;
  const bool exists = input < p.in_features;
  const std::int32_t from = exists ? p.permutation[input] : 0;
  wait_for_earlier_kernels();
  if (!exists) return;
  const std::int64_t row = std::int64_t{blockIdx.y} * p.in_features;
  static_cast<std::uint16_t*>(p.out)[row + input] =
      static_cast<const std::uint16_t*>(p.in)[row + from];
}

}  // namespace

void gather_inputs(const GatherInputsParams& params, cudaStream_t stream) {
  launch(gather_inputs_kernel,
         {.grid = dim3(
              static_cast<unsigned>((params.in_features + kGatherThreads - 1) / kGatherThreads),
              static_cast<unsigned>(params.num_rows)),
          .block = dim3(kGatherThreads),
          .use_pdl = params.use_pdl},
         stream, params);
}

}  // namespace quern::kernels
