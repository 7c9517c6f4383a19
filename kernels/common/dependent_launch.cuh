#pragma once

namespace quern::kernels {

// Device side of programmatic dependent launch (PDL); see LaunchShape::use_pdl. Both do nothing in
// code for GPUs older than sm_90.

/// Grid dependency synchronization: returns once all writes of earlier kernels in the stream are
/// visible and all their reads are done. Every thread that accesses memory which another kernel
/// writes calls it first; weights may be read before.
__device__ inline void wait_for_earlier_kernels() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Triggers the dependent launch: the next kernel's blocks may start where there is room, once
/// every block of this kernel has called it or exited. It guarantees nothing about memory.
__device__ inline void let_next_kernel_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

}  // namespace quern::kernels
