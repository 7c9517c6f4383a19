#include "kernels/common/device_limits.h"

#include <cuda_runtime_api.h>

#include <string>

#include "kernels/common/errors.h"

namespace quern::kernels {
namespace {

std::size_t bytes_of(cudaDeviceAttr attribute) {
  int device = 0;
  int bytes = 0;
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess) status = cudaDeviceGetAttribute(&bytes, attribute, device);
  if (status != cudaSuccess) {
    throw LaunchError(std::string("asking for a block's shared memory failed: ") +
                      cudaGetErrorString(status));
  }
  return static_cast<std::size_t>(bytes);
}

}  // namespace

std::size_t max_shared_bytes() { return bytes_of(cudaDevAttrMaxSharedMemoryPerBlockOptin); }

std::size_t one_block_shared_bytes() {
  return bytes_of(cudaDevAttrMaxSharedMemoryPerMultiprocessor) /
         2;  // CUDA reserves some more per block
}

}  // namespace quern::kernels
