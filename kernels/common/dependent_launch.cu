#include "kernels/common/dependent_launch.h"
#include "kernels/common/launch.h"

namespace quern::kernels {
namespace {

/// Its attributes tell which architecture this build's kernels were compiled for.
__global__ void probe_kernel() {}

}  // namespace

bool supports_pdl() {
  constexpr int kNeeded = 90;
  const auto* probe = reinterpret_cast<const void*>(probe_kernel);
  cudaFuncAttributes attributes{};
  check_launch(cudaFuncGetAttributes(&attributes, probe), probe, {});
  return attributes.ptxVersion >= kNeeded && attributes.binaryVersion >= kNeeded;
}

}  // namespace quern::kernels
