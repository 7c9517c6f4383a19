#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "quern/devices.h"
#include "quern/engine.h"
#include "quern/log.h"

namespace quern {

/// What DeviceChoice::automatic comes to on a machine.
struct AutomaticDevice {
  DeviceChoice device = DeviceChoice::cpu;
  std::optional<int> index;  ///< which GPU; unset on the CPU
  std::string reason;        ///< why the CPU; empty on a GPU
  LogLevel level = LogLevel::info;
};

/// The GPU of `index`, or without one the first that Quern can use; otherwise the CPU. The reason
/// is a warning unless nobody can have expected a GPU: a build without CUDA on a machine without
/// one.
AutomaticDevice automatic_device(const CudaEnvironment& found, std::optional<int> index);

/// Settles options.device and, for a GPU, options.device_index; on the CPU that is unset. Logs why
/// DeviceChoice::automatic took the CPU. Errors: device when cuda is asked for and this build or
/// this machine has none; unsupported when all GPUs are too old.
void choose_device(EngineOptions& options);

/// The backend of options whose device is chosen. Errors: those of make_cuda_backend.
std::unique_ptr<Backend> make_backend(const EngineOptions& options);

}  // namespace quern
