#pragma once

namespace quern::cuda {

/// Makes a GPU the calling thread's current device by pushing its primary context, the one that the
/// CUDA runtime uses, on the thread's stack of contexts. The context is retained until the process
/// ends. False, and nothing is pushed, when the driver, the GPU or its context cannot be had.
///
/// The driver's stack is used in place of cudaGetDevice and cudaSetDevice because the latter cannot
/// restore a thread that had no context: setting device 0 again would create a context there.
/// cudaSetDevice between push and pop replaces the top of the stack and is undone by the pop.
bool push_current_device(int index);

/// Takes the top from the stack again: the thread has the context, or none, of before the push.
void pop_current_device() noexcept;

}  // namespace quern::cuda
