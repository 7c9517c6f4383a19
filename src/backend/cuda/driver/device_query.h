#pragma once

#include <optional>

#include "quern/devices.h"

namespace quern {

/// query_cuda() without the fields from NVML: driver_version and a GPU's clocks, ECC and power
/// limit. About 10 ms faster.
CudaEnvironment query_cuda_driver();

/// The GPU of that index, or without one the first supported one (sm_80 or newer). Errors: device
/// when there is none, with the reason; invalid_argument for an index that does not exist;
/// unsupported for a GPU that is too old, or when all are.
const Gpu& usable_gpu(const CudaEnvironment& environment, std::optional<int> index);

}  // namespace quern
