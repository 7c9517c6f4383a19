#pragma once

#include <optional>

#include "quern/devices.h"

namespace quern {

/// query_cuda() without what only NVML tells: driver_version and a GPU's clocks, ECC and power
/// limit. Faster by some 10 ms.
CudaEnvironment query_cuda_driver();

/// The GPU of that index, or without one the first that our kernels run on (sm_80 or newer).
/// Errors: device when there is none, with the reason; invalid_argument for an index that does not
/// exist; unsupported for a GPU that is too old, or when all are.
const Gpu& usable_gpu(const CudaEnvironment& environment, std::optional<int> index);

}  // namespace quern
