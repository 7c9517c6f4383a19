#include "runtime/load/device_scope.h"

#include "runtime/load/timed_phase.h"

#ifdef QUERN_WITH_CUDA
#include "backend/cuda/driver/current_device.h"
#endif

namespace quern {

DeviceScope::DeviceScope([[maybe_unused]] const EngineOptions& resolved) {
#ifdef QUERN_WITH_CUDA
  // A device that cannot be made current is refused with its reason when the backend is created.
  if (resolved.device == DeviceChoice::cuda) {
    entered_ = cuda::push_current_device(resolved.device_index.value());
  }
#endif
}

DeviceScope::~DeviceScope() {
#ifdef QUERN_WITH_CUDA
  if (entered_) cuda::pop_current_device();
#endif
}

DeviceScope enter_device(const EngineOptions& resolved) {
  const TimedPhase phase("entering the device");
  return DeviceScope(resolved);
}

}  // namespace quern
