#pragma once

namespace quern::kernels {

// The two halves of a programmatic dependent launch; see LaunchShape::use_pdl. Both do nothing in
// code for GPUs older than sm_90.

/// Returns once all that earlier kernels of the stream wrote can be read and all that they read may
/// be overwritten. Every thread that touches memory which another kernel writes calls it first;
/// weights may be read before.
__device__ inline void wait_for_earlier_kernels() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel's blocks begin where there is room for them, once every block of this one
/// has called it or ended. It promises nothing about what was written.
__device__ inline void let_next_kernel_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

}  // namespace quern::kernels
