#pragma once

#include "quern/engine.h"

namespace quern {

/// Lets the calling thread work with the device of these options and restores its previous CUDA
/// device and context (or none) at the end. Scopes nest. Every public call that may reach a GPU
/// holds one: backends set the thread's device as they need it. Cost: two driver calls, about 100
/// ns; nothing on the CPU.
class DeviceScope {
 public:
  explicit DeviceScope(const EngineOptions& resolved);
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  ~DeviceScope();

 private:
  [[maybe_unused]] bool entered_ = false;  ///< unused in a build without CUDA
};

/// The first scope of a device, which may create its context: logged as a phase.
DeviceScope enter_device(const EngineOptions& resolved);

}  // namespace quern
