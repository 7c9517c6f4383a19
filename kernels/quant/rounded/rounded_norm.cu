#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/norm/norm_row.cuh"
#include "kernels/quant/rounded/rounded_rows.h"
#include "kernels/quant/rounded/rounding.cuh"

namespace quern::kernels {
namespace {

// As in norm(): with few rows the latency of a row dominates, so more threads share it.
constexpr int kManyRoundedThreads = 512;
constexpr int kFewRoundedThreads = 256;
constexpr int kFewRoundedRows = 128;

/// Groups of elements per thread: rows of 4096 elements stay in registers.
template <int kWidth, int kThreads>
constexpr int kHeldRoundedGroups = kWidth == 4 ? 1024 / kThreads : 1;

template <typename T, int kWidth, int kThreads>
__global__ void __launch_bounds__(kThreads)
    rounded_norm_kernel(const __grid_constant__ RoundedNormParams p) {
  let_next_kernel_start();
  NormRow<T, kWidth, kHeldRoundedGroups<kWidth, kThreads>> norm(p.input);
  wait_for_earlier_kernels();
  const std::int64_t row = blockIdx.x;
  const std::int64_t in_features = p.input.in_features;
  const std::int64_t token_row = p.input.token_rows != nullptr ? p.input.token_rows[row] : row;
  norm.load(token_row);
  if (p.residual_out != nullptr) norm.store(p.residual_out + row * in_features);

  const NormStatistics statistics = norm.statistics();
  const auto rounded = [](float x) { return to_float(from_float<T>(x)); };
  std::uint32_t largest = 0;
  norm.for_each_normed(statistics, [&](int, const Elements<kWidth>& normed) {
#pragma unroll
    for (const float x : normed.at) largest = max(largest, magnitude_bits(rounded(x)));
  });
  const float scale = scale_of(block_max(largest), kMaxInt8);
  std::int8_t* out = p.out.values + row * in_features;
  int sum = 0;
  norm.for_each_normed(statistics, [&](int first, const Elements<kWidth>& normed) {
    int values[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      values[i] = static_cast<int>(int8_value(rounded(normed.at[i]), scale));
      sum += values[i];
    }
    store_int8(out + first, values);
  });
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    p.out.scales[row] = scale;
    p.out.sums[row] = sum;
  }
}

}  // namespace

void rounded_norm(const RoundedNormParams& params, cudaStream_t stream) {
  dispatch_float(params.input.dtype, "rounded_norm", [&]<typename T>() {
    const auto launch_with = [&]<int kWidth, int kThreads>() {
      launch(rounded_norm_kernel<T, kWidth, kThreads>,
             LaunchShape{.grid = dim3(static_cast<unsigned>(params.num_rows)),
                         .block = dim3(kThreads),
                         .use_pdl = params.use_pdl},
             stream, params);
    };
    if (params.input.in_features % 4 != 0)
      return launch_with.template operator()<1, kFewRoundedThreads>();
    if (params.num_rows > kFewRoundedRows)
      return launch_with.template operator()<4, kFewRoundedThreads>();
    launch_with.template operator()<4, kManyRoundedThreads>();
  });
}

}  // namespace quern::kernels
