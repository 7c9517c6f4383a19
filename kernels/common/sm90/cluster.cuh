#pragma once

#include <cuda.h>

#include <cstdint>

#include "kernels/common/async_copy.cuh"

namespace quern::kernels {

// Clusters: blocks that run at a time on neighbouring multiprocessors and reach each other's shared
// memory. sm_90 and newer. Source: PTX ISA, "Cluster dimension", "mapa", "cp.async.bulk.tensor".

/// This block's rank among those of its cluster.
__device__ inline int cluster_rank() {
  std::uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}

/// Waits for all threads of the cluster, whose earlier writes to shared memory are visible then.
__device__ inline void cluster_sync() {
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}

/// The address that this place of shared memory has in block `rank`.
__device__ inline std::uint32_t address_in_block(const void* shared, int rank) {
  std::uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(address)
               : "r"(shared_address(shared)), "r"(rank));
  return address;
}

/// Arrives at the barrier that is at this place in block `rank`. It orders nothing that this thread
/// wrote: to release at the scope of the cluster would cost a fence.
__device__ inline void arrive_in_block(std::uint64_t* barrier, int rank) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(address_in_block(barrier, rank))
               : "memory");
}

/// Four floats at an address that address_in_block() gave.
__device__ inline float4 load_from_block(std::uint32_t address) {
  float4 v;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(address)
               : "memory");
  return v;
}

/// copy_box_async() to the same place in each block whose bit in `blocks` is set; completes the
/// barrier at the same place in each.
__device__ inline void copy_box_to_blocks_async(void* shared, const CUtensorMap* map, int column,
                                                int row, std::uint64_t* barrier,
                                                std::uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "h"(blocks)
      : "memory");
}

}  // namespace quern::kernels
