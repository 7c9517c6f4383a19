#pragma once

#include <memory>

#include "backend/backend.h"

namespace quern {

/// The CUDA backend on one GPU (by CUDA's index): own kernels, cuBLASLt for large M. All work is
/// ordered on a stream of its own; run and replay are asynchronous, so that a kernel's error may
/// surface in a later call. `deterministic`: a row's bits depend on its own sequence alone, not on
/// the others of a step nor on their number; see docs/adr/0023. Not thread-safe. Errors: device
/// when there is no driver or no GPU, invalid_argument for an index that does not exist,
/// unsupported for a GPU older than sm_80.
std::unique_ptr<Backend> make_cuda_backend(int device_index = 0, bool deterministic = false);

}  // namespace quern
