#pragma once

#include <cstdint>

namespace quern::kernels {

/// The address of shared memory as PTX wants it.
__device__ inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Starts a copy of 16 bytes from global to shared memory, past L1; where not `valid` it brings
/// zeros and reads nothing. Both addresses are multiples of 16.
__device__ inline void copy_16_bytes_async(void* shared, const void* global, bool valid = true) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}

/// Ends a group: the copies that this thread has started since the last one.
__device__ inline void end_copy_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most the last kPending groups of this thread are still on their way. Other
/// threads' copies need a barrier after it.
template <int kPending>
__device__ inline void wait_for_copy_groups() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Waits for all copies of this thread. Other threads' copies need a barrier after it.
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

}  // namespace quern::kernels
