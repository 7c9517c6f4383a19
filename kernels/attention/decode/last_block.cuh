#pragma once

#include <cstdint>

namespace quern::kernels {

/// True in the last of `blocks` blocks to arrive; the others' earlier writes to global memory are
/// visible to it (through L2: read them with __ldcg). The counter is zero before and after. `sync`:
/// a barrier of the threads that call it.
template <typename Sync>
__device__ bool is_last_block(std::uint32_t* counter, int blocks, const Sync& sync) {
  __shared__ bool last;
  __threadfence();
  sync();
  if (threadIdx.x == 0) {
    last = atomicAdd(counter, 1u) == static_cast<std::uint32_t>(blocks - 1);
    if (last) *counter = 0;
  }
  sync();
  __threadfence();
  return last;
}

}  // namespace quern::kernels
