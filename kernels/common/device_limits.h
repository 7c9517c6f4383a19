#pragma once

#include <cstddef>

namespace quern::kernels {

/// Bytes of shared memory that a block may have on the calling thread's device, at least
/// kMaxSharedBytes. Errors: LaunchError when CUDA does not answer.
std::size_t max_shared_bytes();

}  // namespace quern::kernels
