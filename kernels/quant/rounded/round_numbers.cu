#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/quant/rounded/rounded_rows.h"
#include "kernels/quant/rounded/rounding.cuh"

namespace quern::kernels {
namespace {

constexpr int kRoundNumbersThreads = 512;
/// Groups beyond these inputs, rows for one, get a block each: a warp would take tens of
/// microseconds.
constexpr std::int64_t kMostInputsOfWarp = 1024;

__device__ float float8_number(float x, float scale) {
  __nv_fp8_e4m3 value;
  value.__x = float8_bits(x, scale);
  return static_cast<float>(value);
}

/// kGroupThreads (a warp or the block) per group of a row.
template <typename T, int kGroupThreads>
__global__ void __launch_bounds__(kRoundNumbersThreads)
    round_numbers_kernel(const __grid_constant__ RoundNumbersParams p) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const std::int64_t groups = (p.in_features + p.group_size - 1) / p.group_size;
  const std::int64_t index = std::int64_t{blockIdx.x} * (kRoundNumbersThreads / kGroupThreads) +
                             threadIdx.x / kGroupThreads;
  if (index >= p.num_rows * groups) return;
  const std::int64_t row = index / groups;
  const std::int64_t begin = index % groups * p.group_size;
  const int count = static_cast<int>(min(p.group_size, p.in_features - begin));
  const int first = static_cast<int>(threadIdx.x) % kGroupThreads;
  const T* in = static_cast<const T*>(p.in) + row * p.in_features + begin;
  T* out = static_cast<T*>(p.out) + row * p.in_features + begin;
  const bool is_float8 = p.rounding == NumberRounding::float8_e4m3;

  std::uint32_t largest = 0;
#pragma unroll 8
  for (int i = first; i < count; i += kGroupThreads) {
    largest = max(largest, magnitude_bits(to_float(in[i])));
  }
  largest = kGroupThreads == kWarpSize ? warp_max(largest) : block_max(largest);
  const float scale = scale_of(largest, is_float8 ? kMaxFloat8 : kMaxInt8);
  // 0 · NaN is the number of a row that is not finite.
  const float factor = p.scales != nullptr ? 1.0f : scale;
#pragma unroll 8
  for (int i = first; i < count; i += kGroupThreads) {
    const float x = to_float(in[i]);
    const float value = is_float8 ? float8_number(x, scale) : int8_value(x, scale);
    out[i] = from_float<T>(factor * value);
  }
  if (p.scales != nullptr && first == 0) p.scales[row] = scale;
}

}  // namespace

void round_numbers(const RoundNumbersParams& params, cudaStream_t stream) {
  const std::int64_t groups =
      params.num_rows * ((params.in_features + params.group_size - 1) / params.group_size);
  dispatch_float(params.dtype, "round_numbers", [&]<typename T>() {
    const auto launch_with = [&]<int kGroupThreads>() {
      constexpr std::int64_t kGroups = kRoundNumbersThreads / kGroupThreads;  // of a block
      launch(round_numbers_kernel<T, kGroupThreads>,
             LaunchShape{.grid = dim3(static_cast<unsigned>((groups + kGroups - 1) / kGroups)),
                         .block = dim3(kRoundNumbersThreads),
                         .use_pdl = params.use_pdl},
             stream, params);
    };
    if (params.group_size > kMostInputsOfWarp)
      return launch_with.template operator()<kRoundNumbersThreads>();
    launch_with.template operator()<kWarpSize>();
  });
}

}  // namespace quern::kernels
