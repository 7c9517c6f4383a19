#pragma once

#include <cstddef>

namespace quern::kernels {

/// Maximum shared memory per block in bytes (opt-in) on the current device, at least
/// kMaxSharedBytes. Errors: LaunchError when a CUDA call fails.
std::size_t max_shared_bytes();

/// The least dynamic shared memory with which only one such block fits into a multiprocessor of the
/// current device. Errors: likewise.
std::size_t one_block_shared_bytes();

}  // namespace quern::kernels
