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

/// Sets what a launch with so much dynamic shared memory needs of the kernel beforehand, on the
/// calling thread's device: leave to have more than 48 KB of shared memory, static and dynamic,
/// which any dynamic amount gets; with PDL the preference of shared memory over cache. A call that
/// asks for nothing new calls CUDA for nothing but the device. Thread-safe. Errors: LaunchError.
void set_kernel_attributes(const void* kernel, const LaunchShape& shape, std::size_t shared_bytes);

/// The one way to start a kernel. Errors: LaunchError.
template <typename Params>
void launch(void (*kernel)(Params), const LaunchShape& shape, cudaStream_t stream,
            const Params& params) {
  const auto* address = reinterpret_cast<const void*>(kernel);
  std::size_t shared_bytes = shape.shared_bytes;
  if (shape.use_pdl && shape.alone) shared_bytes = std::max(shared_bytes, lone_shared_bytes());
  if (shared_bytes > 0 || shape.use_pdl) set_kernel_attributes(address, shape, shared_bytes);
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
