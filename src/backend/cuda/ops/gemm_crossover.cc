#include "backend/cuda/ops/gemm_crossover.h"

#include <cuda_runtime_api.h>

#include "backend/cuda/stream/check_cuda.h"

namespace quern::cuda {
namespace {

double attribute(cudaDeviceAttr name, int device_index) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, name, device_index), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

double memory_bytes_per_clock(int device_index) {
  constexpr double kTransfersPerClock = 2.0;
  const double bytes = attribute(cudaDevAttrGlobalMemoryBusWidth, device_index) / 8.0;
  const double memory_khz = attribute(cudaDevAttrMemoryClockRate, device_index);
  const double khz = attribute(cudaDevAttrClockRate, device_index);
  const double multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device_index);
  return kTransfersPerClock * memory_khz * bytes / (khz * multiprocessors);
}

}  // namespace quern::cuda
