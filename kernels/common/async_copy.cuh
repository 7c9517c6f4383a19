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

/// Issues an 8-byte cp.async. Both addresses are multiples of 8.
__device__ inline void copy_8_bytes_async(void* shared, const void* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(shared_address(shared)), "l"(global)
               : "memory");
}

/// Issues a 4-byte cp.async; if not `valid` it writes zeros and reads nothing. Both addresses are
/// multiples of 4.
__device__ inline void copy_4_bytes_async(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(valid ? 4 : 0)
               : "memory");
}

/// Waits until at most the last `pending`, 0 to 5, groups of this thread are in flight. Other
/// threads' copies need a barrier after it.
__device__ inline void wait_for_copy_groups(int pending) {
  switch (pending) {
    case 5:
      asm volatile("cp.async.wait_group 5;" ::: "memory");
      return;
    case 4:
      asm volatile("cp.async.wait_group 4;" ::: "memory");
      return;
    case 3:
      asm volatile("cp.async.wait_group 3;" ::: "memory");
      return;
    case 2:
      asm volatile("cp.async.wait_group 2;" ::: "memory");
      return;
    case 1:
      asm volatile("cp.async.wait_group 1;" ::: "memory");
      return;
    default:
      asm volatile("cp.async.wait_all;" ::: "memory");
      return;
  }
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
