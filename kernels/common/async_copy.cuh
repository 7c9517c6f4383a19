#pragma once

#include <cstdint>

namespace quern::kernels {

/// The shared-space address for PTX.
__device__ inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Issues a 16-byte cp.async from global to shared memory, bypassing L1; if not `valid` it writes
/// zeros and reads nothing. Both addresses are multiples of 16.
__device__ inline void copy_16_bytes_async(void* shared, const void* global, bool valid = true) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}

/// Commits a group: the copies that this thread has issued since the previous one.
__device__ inline void end_copy_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most the last kPending groups of this thread are in flight. Other threads' copies
/// need a barrier after it.
template <int kPending>
__device__ inline void wait_for_copy_groups() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Waits for all copies of this thread. Other threads' copies need a barrier after it.
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

}  // namespace quern::kernels
