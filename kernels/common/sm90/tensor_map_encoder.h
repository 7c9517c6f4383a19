#pragma once

#include <cuda.h>

namespace quern::kernels {

/// cuTensorMapEncodeTiled, from the driver that is loaded, without linking it; null where it has
/// none.
decltype(&cuTensorMapEncodeTiled) tensor_map_encoder();

/// Errors: LaunchError, naming `what`, when the driver refused.
void check_tensor_map(CUresult status, const char* what);

}  // namespace quern::kernels
