#pragma once

#include <cstdint>

namespace quern::kernels {

/// Exclusive prefix sum of `value` over the block. All threads call it.
template <typename T>
__device__ inline T block_exclusive_sum(T value) {
  __shared__ T warp_sums[32];
  const int lane = threadIdx.x % 32;
  T inclusive = value;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const T before = __shfl_up_sync(~0u, inclusive, step);
    if (lane >= step) inclusive += before;
  }
  if (lane == 31) warp_sums[threadIdx.x / 32] = inclusive;
  __syncthreads();
  T sum = inclusive - value;
  for (int warp = 0; warp < static_cast<int>(threadIdx.x) / 32; ++warp) sum += warp_sums[warp];
  __syncthreads();
  return sum;
}

}  // namespace quern::kernels
