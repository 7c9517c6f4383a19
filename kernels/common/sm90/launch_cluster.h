#pragma once

#include "kernels/common/launch.h"

namespace quern::kernels {

/// launch() of clusters of so many blocks, along the grid's x. sm_90 and newer. Errors:
/// LaunchError.
template <typename Params>
void launch_clusters(void (*kernel)(Params), const LaunchShape& shape, unsigned cluster_blocks,
                     cudaStream_t stream, const Params& params) {
  const auto* address = reinterpret_cast<const void*>(kernel);
  set_kernel_attributes(address, shape, shape.shared_bytes);
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim.x = cluster_blocks;
  attributes[0].val.clusterDim.y = 1;
  attributes[0].val.clusterDim.z = 1;
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = shape.use_pdl ? 2 : 1;
  void* arguments[] = {const_cast<Params*>(&params)};
  check_launch(cudaLaunchKernelExC(&config, address, arguments), address, shape);
}

}  // namespace quern::kernels
