#pragma once

#include <cuda_runtime_api.h>

namespace quern::cuda {

/// Errors: out_of_memory or device, naming the call and CUDA's error, unless `status` is success.
void check_cuda(cudaError_t status, const char* call);

}  // namespace quern::cuda
