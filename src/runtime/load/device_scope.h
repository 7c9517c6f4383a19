#pragma once

#include "quern/engine.h"

namespace quern {

/// While it lives, the calling thread may work with the device of these options; at its end the
/// thread has the CUDA device and context again that it had before, or none. Scopes nest. Every
/// public call that may reach a GPU holds one: backends set the thread's device as they need it.
/// Cost: two driver calls, some 100 ns; nothing on the CPU.
class DeviceScope {
 public:
  explicit DeviceScope(const EngineOptions& resolved);
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  ~DeviceScope();

 private:
  bool entered_ = false;
};

/// The first scope of a device, which may have to create its context: that is logged as a phase.
DeviceScope enter_device(const EngineOptions& resolved);

}  // namespace quern
