#pragma once

#include <cstdint>

namespace quern::kernels {

/// True in the one of `blocks` blocks that comes last; what the others wrote to global memory
/// before is visible to it (through L2: read it with __ldcg). The counter is zero before and after.
__device__ inline bool is_last_block(std::uint32_t* counter, int blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(counter, 1u) == static_cast<std::uint32_t>(blocks - 1);
    if (last) *counter = 0;
  }
  __syncthreads();
  __threadfence();
  return last;
}

}  // namespace quern::kernels
