#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/quant/rounded/rounded_rows.h"
#include "kernels/quant/rounded/rounding.cuh"

namespace quern::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;

__device__ float float8_number(float x, float scale) {
  __nv_fp8_e4m3 value;
  value.__x = float8_bits(x, scale);
  return static_cast<float>(value);
}

/// One warp per group of a row.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    round_numbers_kernel(const __grid_constant__ RoundNumbersParams p) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const std::int64_t groups = (p.in_features + p.group_size - 1) / p.group_size;
  const std::int64_t index =
      std::int64_t{blockIdx.x} * kWarps + static_cast<int>(threadIdx.x) / kWarpSize;
  if (index >= p.num_rows * groups) return;
  const std::int64_t row = index / groups;
  const std::int64_t begin = index % groups * p.group_size;
  const int count = static_cast<int>(min(p.group_size, p.in_features - begin));
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const T* in = static_cast<const T*>(p.in) + row * p.in_features + begin;
  T* out = static_cast<T*>(p.out) + row * p.in_features + begin;
  const bool is_float8 = p.rounding == NumberRounding::float8_e4m3;

  std::uint32_t largest = 0;
#pragma unroll 8
  for (int i = lane; i < count; i += kWarpSize) {
    largest = max(largest, magnitude_bits(to_float(in[i])));
  }
  const float scale = scale_of(warp_max(largest), is_float8 ? kMaxFloat8 : kMaxInt8);
  // 0 · NaN is the number of a row that is not finite.
  const float factor = p.scales != nullptr ? 1.0f : scale;
#pragma unroll 8
  for (int i = lane; i < count; i += kWarpSize) {
    const float x = to_float(in[i]);
    const float value = is_float8 ? float8_number(x, scale) : int8_value(x, scale);
    out[i] = from_float<T>(factor * value);
  }
  if (p.scales != nullptr && lane == 0) p.scales[row] = scale;
}

}  // namespace

void round_numbers(const RoundNumbersParams& params, cudaStream_t stream) {
  const std::int64_t groups = (params.in_features + params.group_size - 1) / params.group_size;
  const std::int64_t blocks = (params.num_rows * groups + kWarps - 1) / kWarps;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(blocks)),
                          .block = dim3(kThreads),
                          .use_pdl = params.use_pdl};
  dispatch_float(params.dtype, "round_numbers",
                 [&]<typename T>() { launch(round_numbers_kernel<T>, shape, stream, params); });
}

}  // namespace quern::kernels
