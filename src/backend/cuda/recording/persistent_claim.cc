#include "backend/cuda/recording/persistent_claim.h"

#include <cuda_runtime_api.h>

#include <array>
#include <atomic>

namespace quern::cuda {
namespace {

constexpr int kMostDevices = 64;  ///< others have no persistent steps

std::atomic<bool>& claimed(int device_index) {
  static std::array<std::atomic<bool>, kMostDevices> claimed{};
  return claimed[static_cast<std::size_t>(device_index)];
}

/// Whether kernels of other processes run beside ours.
bool shares_device(int device_index) {
  int enabled = 0;
  return cudaDeviceGetAttribute(&enabled, cudaDevAttrMpsEnabled, device_index) != cudaSuccess ||
         enabled != 0;
}

}  // namespace

PersistentClaim::PersistentClaim(int device_index) : device_index_(device_index) {
  if (device_index >= kMostDevices || shares_device(device_index)) return;
  is_held_ = !claimed(device_index).exchange(true);
}

PersistentClaim::~PersistentClaim() {
  if (is_held_) claimed(device_index_) = false;
}

}  // namespace quern::cuda
