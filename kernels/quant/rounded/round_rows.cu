#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/quant/rounded/rounded_rows.h"
#include "kernels/quant/rounded/rounding.cuh"

namespace quern::kernels {
namespace {

constexpr int kRoundRowsThreads = 256;

/// kWidth consecutive elements: one, or those of 16 bytes.
template <int kWidth, typename T>
__device__ void load_floats(const T* source, float (&values)[kWidth]) {
  if constexpr (kWidth == 1) {
    values[0] = to_float(*source);
  } else {
    unpack_16_bytes<T>(*reinterpret_cast<const uint4*>(source), values);
  }
}

/// One block per row; a thread has kWidth elements at a time.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kRoundRowsThreads)
    round_rows_kernel(const __grid_constant__ RoundRowsParams p) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const std::int64_t row = blockIdx.x;
  const T* in = static_cast<const T*>(p.in) + row * p.in_features;
  std::int8_t* out = p.out.values + row * p.in_features;
  const int in_features = static_cast<int>(p.in_features);
  const int first = kWidth * static_cast<int>(threadIdx.x);
  constexpr int kStep = kWidth * kRoundRowsThreads;

  std::uint32_t largest = 0;
#pragma unroll 4
  for (int i = first; i < in_features; i += kStep) {
    float values[kWidth];
    load_floats(in + i, values);
#pragma unroll
    for (const float x : values) largest = max(largest, magnitude_bits(x));
  }
  const float scale = scale_of(block_max(largest), kMaxInt8);
  int sum = 0;
#pragma unroll 4
  for (int i = first; i < in_features; i += kStep) {
    float values[kWidth];
    load_floats(in + i, values);
    int rounded[kWidth];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      rounded[j] = static_cast<int>(int8_value(values[j], scale));
      sum += rounded[j];
    }
    store_int8(out + i, rounded);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    p.out.scales[row] = scale;
    p.out.sums[row] = sum;
  }
}

}  // namespace

void round_rows(const RoundRowsParams& params, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(params.num_rows)),
                          .block = dim3(kRoundRowsThreads),
                          .use_pdl = params.use_pdl};
  dispatch_float(params.dtype, "round_rows", [&]<typename T>() {
    constexpr int kWidth = kElementsOf16Bytes<T>;
    if (params.in_features % kWidth == 0) {
      return launch(round_rows_kernel<T, kWidth>, shape, stream, params);
    }
    launch(round_rows_kernel<T, 1>, shape, stream, params);
  });
}

}  // namespace quern::kernels
