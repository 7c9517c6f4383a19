#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/quant/float8/float8_rows.h"
#include "kernels/quant/rounded/rounding.cuh"

namespace quern::kernels {
namespace {

constexpr int kRoundFloat8Threads = 256;
constexpr int kInputs = 16;  ///< of a thread at a time: 16 bytes of the output

/// The inputs of vector `index` of a row, in the order of its bytes. kPaired: rows begin at even
/// elements, so that two are loaded at a time.
template <typename T, bool kPaired>
__device__ void load_vector(const T* row, int in_features, int index, float (&x)[kInputs]) {
  const int first = index / 4 * 64 + index % 4 * 2;
#pragma unroll
  for (int i = 0; i < kInputs / 2; ++i) {
    const int input = first + 8 * i;
    float2 pair = {0.0f, 0.0f};
    if constexpr (kPaired) {
      if (input < in_features) {
        pair = unpack<T>(*reinterpret_cast<const std::uint32_t*>(row + input));
      }
    } else {
      if (input < in_features) pair.x = to_float(row[input]);
      if (input + 1 < in_features) pair.y = to_float(row[input + 1]);
    }
    x[i / 2 * 4 + i % 2] = pair.x;
    x[i / 2 * 4 + i % 2 + 2] = pair.y;
  }
}

struct RoundFloat8KernelParams : RoundFloat8Params {
  int row_bytes = 0;
};

/// One block per row; a thread has the inputs of 16 bytes at a time.
template <typename T, bool kPaired>
__global__ void __launch_bounds__(kRoundFloat8Threads)
    round_float8_kernel(const __grid_constant__ RoundFloat8KernelParams p) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const std::int64_t row = blockIdx.x;
  const T* in = static_cast<const T*>(p.in) + row * p.in_features;
  const int in_features = static_cast<int>(p.in_features);
  const int row_bytes = p.row_bytes;
  const int first = static_cast<int>(threadIdx.x);

  std::uint32_t largest = 0;
  for (int i = first; i < row_bytes / kInputs; i += kRoundFloat8Threads) {
    float x[kInputs];
    load_vector<T, kPaired>(in, in_features, i, x);
#pragma unroll
    for (const float number : x) largest = max(largest, magnitude_bits(number));
  }
  const float scale = scale_of(block_max(largest), kMaxFloat8);
  auto* out = reinterpret_cast<uint4*>(p.out.values + row * row_bytes);
  for (int i = first; i < row_bytes / kInputs; i += kRoundFloat8Threads) {
    float x[kInputs];
    load_vector<T, kPaired>(in, in_features, i, x);
    std::uint32_t words[4] = {};
#pragma unroll
    for (int j = 0; j < kInputs; ++j) {
      words[j / 4] |= static_cast<std::uint32_t>(float8_bits(x[j], scale)) << (8 * (j % 4));
    }
    out[i] = {words[0], words[1], words[2], words[3]};
  }
  if (threadIdx.x == 0) p.out.scales[row] = scale;
}

}  // namespace

void round_float8(const RoundFloat8Params& params, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(params.num_rows)),
                          .block = dim3(kRoundFloat8Threads),
                          .use_pdl = params.use_pdl};
  RoundFloat8KernelParams kernel_params;
  static_cast<RoundFloat8Params&>(kernel_params) = params;
  kernel_params.row_bytes = static_cast<int>(float8_row_bytes(params.in_features));
  dispatch_half(params.dtype, "round_float8", [&]<typename T>() {
    launch(
        params.in_features % 2 == 0 ? round_float8_kernel<T, true> : round_float8_kernel<T, false>,
        shape, stream, kernel_params);
  });
}

}  // namespace quern::kernels
