#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>

#include "kernels/common/device_limits.h"

namespace quern::kernels {

/// What a block may have on every GPU from sm_80 on (sm_86 has the least). Kernels assert that they
/// keep within it.
inline constexpr std::size_t kMaxSharedBytes = 99 * 1024;

/// A kernel could not be launched: the message names it, its grid and what CUDA says.
class LaunchError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct LaunchShape {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;  ///< dynamic
  /// The kernel may start while the one before it in the stream still runs (programmatic dependent
  /// launch). Only for kernels that call wait_for_earlier_kernels(), where supports_pdl().
  bool use_pdl = false;
  /// No two blocks of such launches share a multiprocessor, so that those of one that starts early
  /// spread evenly: each is given more than half of the shared memory. Others fit beside them. Does
  /// nothing unless the launch uses PDL.
  bool alone = false;
};

/// Errors: LaunchError, unless `status` is success.
void check_launch(cudaError_t status, const void* kernel, const LaunchShape& shape);

/// The one way to start a kernel. More than 48 KB of shared memory, static and dynamic, need a
/// permission, which any dynamic amount gets. Errors: LaunchError.
template <typename Params>
void launch(void (*kernel)(Params), const LaunchShape& shape, cudaStream_t stream,
            const Params& params) {
  const auto* address = reinterpret_cast<const void*>(kernel);
  std::size_t shared_bytes = shape.shared_bytes;
  if (shape.use_pdl && shape.alone) shared_bytes = std::max(shared_bytes, lone_shared_bytes());
  if (shared_bytes > 0) {
    check_launch(cudaFuncSetAttribute(address, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shared_bytes)),
                 address, shape);
  }
  if (shape.use_pdl) {
    // Kernels that want different parts of a multiprocessor's memory as cache cannot share it.
    check_launch(cudaFuncSetAttribute(address, cudaFuncAttributePreferredSharedMemoryCarveout,
                                      cudaSharedmemCarveoutMaxShared),
                 address, shape);
  }
  cudaLaunchAttribute pdl{};
  pdl.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  pdl.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &pdl;
  config.numAttrs = shape.use_pdl ? 1 : 0;
  void* arguments[] = {const_cast<Params*>(&params)};
  check_launch(cudaLaunchKernelExC(&config, address, arguments), address, shape);
}

}  // namespace quern::kernels
