#pragma once

#include <cstddef>

namespace quern::kernels {

/// Bytes of shared memory that a block may have on the calling thread's device, at least
/// kMaxSharedBytes. Errors: LaunchError when CUDA does not answer.
std::size_t max_shared_bytes();

/// Dynamic shared memory of a block beside which no other such block fits into a multiprocessor of
/// that device. Errors: likewise.
std::size_t lone_shared_bytes();

}  // namespace quern::kernels
