#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/norm/norm_row.cuh"
#include "kernels/quant/float8/float8_rows.h"
#include "kernels/quant/rounded/rounding.cuh"

namespace quern::kernels {
namespace {

constexpr int kFloat8NormThreads = 256;
constexpr int kWidth = 4;
/// Groups of elements per thread: rows of 4096 elements stay in registers.
constexpr int kHeldGroups = 4;

/// Stores a thread's four numbers, of inputs from `first` on, in the order of Float8Rows: a word
/// has two of these and two of the eighth input behind them, which the lane two further has. Called
/// by whole quads of lanes.
__device__ void store_numbers(std::uint8_t* row, int first,
                              const std::uint32_t (&numbers)[kWidth]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const bool is_upper = first % 16 >= 8;
  const std::uint32_t low = numbers[0] | numbers[1] << 16;
  const std::uint32_t high = numbers[2] | numbers[3] << 16;
  const std::uint32_t got = __shfl_xor_sync(15u << (lane & ~3), is_upper ? low : high, 2);
  const std::uint32_t word = is_upper ? got | high << 8 : low | got << 8;
  const int t = first % 8 / 2 + (is_upper ? 1 : 0);
  *reinterpret_cast<std::uint32_t*>(row + first / 64 * 64 + 16 * t + first % 64 / 16 * 4) = word;
}

/// One block per row.
template <typename T>
__global__ void __launch_bounds__(kFloat8NormThreads)
    float8_norm_kernel(const __grid_constant__ Float8NormParams p) {
  let_next_kernel_start();
  NormRow<T, kWidth, kHeldGroups> norm(p.input);
  wait_for_earlier_kernels();
  const std::int64_t row = blockIdx.x;
  const std::int64_t in_features = p.input.in_features;
  norm.load(p.input.token_rows != nullptr ? p.input.token_rows[row] : row);
  if (p.residual_out != nullptr) norm.store(p.residual_out + row * in_features);

  const NormStatistics statistics = norm.statistics();
  const auto rounded = [](float x) { return to_float(from_float<T>(x)); };
  std::uint32_t largest = 0;
  norm.for_each_normed(statistics, [&](int, const Elements<kWidth>& normed) {
#pragma unroll
    for (const float x : normed.at) largest = max(largest, magnitude_bits(rounded(x)));
  });
  const float scale = scale_of(block_max(largest), kMaxFloat8);
  norm.for_each_normed(statistics, [&](int first, const Elements<kWidth>& normed) {
    std::uint32_t numbers[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) numbers[i] = float8_bits(rounded(normed.at[i]), scale);
    store_numbers(p.out.values + row * in_features, first, numbers);
  });
  if (threadIdx.x == 0) p.out.scales[row] = scale;
}

}  // namespace

void float8_norm(const Float8NormParams& params, cudaStream_t stream) {
  dispatch_half(params.input.dtype, "float8_norm", [&]<typename T>() {
    launch(float8_norm_kernel<T>,
           LaunchShape{.grid = dim3(static_cast<unsigned>(params.num_rows)),
                       .block = dim3(kFloat8NormThreads),
                       .use_pdl = params.use_pdl},
           stream, params);
  });
}

}  // namespace quern::kernels
