#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>

#include "kernels/common/device_limits.h"

namespace quern::kernels {

/// Maximum shared memory of a block on all GPUs from sm_80 on (sm_86 has the least). Kernels assert
/// this.
inline constexpr std::size_t kMaxSharedBytes = 99 * 1024;

struct LaunchShape {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;  ///< dynamic
  /// The kernel may start while the one before it in the stream still runs (programmatic dependent
  /// launch). Only for kernels that call wait_for_earlier_kernels(), where supports_pdl().
  bool use_pdl = false;
  /// At most one block of such launches per multiprocessor, so that the blocks of a kernel that
  /// starts early (PDL) spread evenly: each requests more than half of the shared memory. Blocks of
  /// other kernels can be co-resident. No effect without PDL.
  bool one_block_per_sm = false;
};

/// Errors: LaunchError (errors.h), unless `status` is success.
void check_launch(cudaError_t status, const void* kernel, const LaunchShape& shape);

/// Sets the kernel attributes that a launch with `shared_bytes` of dynamic shared memory needs, on
/// the current device: the opt-in to more than 48 KB of shared memory, static and dynamic; with PDL
/// the carveout. Attributes that are already set cost one cudaGetDevice. Thread-safe. Errors:
/// LaunchError.
void set_kernel_attributes(const void* kernel, const LaunchShape& shape, std::size_t shared_bytes);

/// All kernels are launched through this. Errors: LaunchError.
template <typename Params>
void launch(void (*kernel)(Params), const LaunchShape& shape, cudaStream_t stream,
            const Params& params) {
  const auto* address = reinterpret_cast<const void*>(kernel);
  std::size_t shared_bytes = shape.shared_bytes;
  if (shape.use_pdl && shape.one_block_per_sm)
    shared_bytes = std::max(shared_bytes, one_block_shared_bytes());
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
