#pragma once

#include <memory>

#include "backend/backend.h"

namespace quern {

/// The CUDA backend on one GPU (as CUDA counts them): kernels of ours, cuBLASLt for steps of many
/// tokens. All its work is ordered on a stream of its own; runs and replays do not wait for it, so
/// that an error of a kernel may show at a later call. Use it from one thread at a time.
/// Errors: device when there is no driver or no GPU, invalid_argument for an index that does not
/// exist, unsupported for a GPU older than sm_80.
std::unique_ptr<Backend> make_cuda_backend(int device_index = 0);

}  // namespace quern
