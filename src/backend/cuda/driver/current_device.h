#pragma once

namespace quern::cuda {

/// Makes a GPU the calling thread's current device by pushing its primary context (the CUDA
/// runtime's) on the thread's context stack. The context is retained until the process ends. False,
/// and nothing is pushed, when the driver, the GPU or its context is not available.
///
/// The driver's stack is used instead of cudaGetDevice and cudaSetDevice because these cannot
/// restore a thread that had no context: setting device 0 again would create one. A cudaSetDevice
/// between push and pop replaces the top of the stack and is undone by the pop.
bool push_current_device(int index);

/// Pops the context: the thread has its previous context, or none.
void pop_current_device() noexcept;

}  // namespace quern::cuda
