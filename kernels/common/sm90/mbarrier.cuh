#pragma once

#include <cuda.h>

#include <cstdint>

#include "kernels/common/async_copy.cuh"

namespace quern::kernels {

// Transaction barriers in shared memory (mbarrier) and bulk tensor copies (TMA) that complete them.
// sm_90 and newer. Source: PTX ISA, "mbarrier" and "cp.async.bulk.tensor".

/// A phase completes after `arrivals` arrivals and all expected bytes. Called by one thread.
__device__ inline void init_barrier(std::uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}

/// Makes initialized barriers visible to the async proxy (TMA); a __syncthreads() must follow.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}

/// Arrives and adds to the bytes that the current phase expects.
__device__ inline void arrive_and_expect(std::uint64_t* barrier, std::uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}

/// Waits for completion of the phase with this parity. A fresh barrier is in the phase of parity 0,
/// so a wait for parity 1 returns at once.
__device__ inline void wait_for_phase(std::uint64_t* barrier, std::uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

/// Issues a TMA load of the tensor map's box at (column, row) to shared memory.
__device__ inline void copy_box_async(void* shared, const CUtensorMap* map, int column, int row,
                                      std::uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(shared_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
}

/// Starts a copy of a box from shared memory to (column, row) of the tensor map. What lies outside
/// is not written.
__device__ inline void store_box_async(const CUtensorMap* map, int column, int row,
                                       const void* shared) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map),
      "r"(column), "r"(row), "r"(shared_address(shared))
      : "memory");
}

/// Ends a group: the stores that this thread has started since the last one.
__device__ inline void end_store_group() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/// Waits until shared memory has been read by all but the last kPending groups of this thread.
template <int kPending>
__device__ inline void wait_for_store_reads() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

/// Waits for all stores of this thread.
__device__ inline void wait_for_stores() {
  asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

/// Makes this thread's writes to shared memory visible to the async proxy (wgmma, TMA); a barrier
/// must follow before it reads them.
__device__ inline void fence_shared_writes() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// Synchronizes `threads` threads (whole warps) at named barrier `id` (1 to 15).
__device__ inline void named_barrier_wait(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// Arrives at named barrier `id` without waiting.
__device__ inline void named_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// Stage and phase parity of a pipeline of kStages buffers.
template <int kStages>
struct RingPlace {
  int stage = 0;
  std::uint32_t parity = 0;

  __device__ void advance() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

}  // namespace quern::kernels
