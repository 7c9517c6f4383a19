#pragma once

namespace quern::kernels {

inline constexpr int kWarpSize = 32;

/// threadIdx.x, read anew at each use: values derived from it do not occupy registers across a
/// loop.
__device__ inline int thread_index_anew() {
  int index = 0;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
  return index;
}

/// Warp reduction with the result in every lane. All lanes call it.
template <typename T, typename Combine>
__device__ inline T warp_reduce(T value, const Combine& combine) {
#pragma unroll
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    value = combine(value, __shfl_xor_sync(~0u, value, distance));
  }
  return value;
}

/// Block reduction with the same result in every thread, independent of the order of warps. All
/// threads of whole warps call it.
template <typename T, typename Combine>
__device__ inline T block_reduce(T value, const Combine& combine) {
  __shared__ T of_warps[kWarpSize];
  value = warp_reduce(value, combine);
  if (threadIdx.x % kWarpSize == 0) of_warps[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  value = of_warps[0];
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
#pragma unroll 8
  for (int warp = 1; warp < warps; ++warp) value = combine(value, of_warps[warp]);
  __syncthreads();  // of_warps may be reused
  return value;
}

template <typename T>
__device__ inline T warp_sum(T value) {
  return warp_reduce(value, [](T a, T b) { return a + b; });
}
template <typename T>
__device__ inline T warp_max(T value) {
  return warp_reduce(value, [](T a, T b) { return max(a, b); });
}
template <typename T>
__device__ inline T block_sum(T value) {
  return block_reduce(value, [](T a, T b) { return a + b; });
}
template <typename T>
__device__ inline T block_max(T value) {
  return block_reduce(value, [](T a, T b) { return max(a, b); });
}

}  // namespace quern::kernels
