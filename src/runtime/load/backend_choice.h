#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "quern/devices.h"
#include "quern/engine.h"
#include "quern/log.h"

namespace quern {

/// The device that DeviceChoice::automatic resolves to on a machine.
struct AutomaticDevice {
  DeviceChoice device = DeviceChoice::cpu;
  std::optional<int> index;  ///< index of the GPU; unset on the CPU
  std::string reason;        ///< why the CPU was chosen; empty on a GPU
  LogLevel level = LogLevel::info;
};

/// The GPU of `index`, or without one the first supported GPU; otherwise the CPU. The reason is a
/// warning unless a GPU cannot be expected: a build without CUDA on a machine without a GPU.
AutomaticDevice automatic_device(const CudaEnvironment& found, std::optional<int> index);

/// Resolves options.device and, for a GPU, options.device_index, which is unset on the CPU. Logs
/// why DeviceChoice::automatic fell back to the CPU. Errors: device when cuda is asked for and this
/// build or this machine has none; unsupported when all GPUs are too old.
void choose_device(EngineOptions& options);

/// Creates the backend of options with a resolved device. Errors: those of make_cuda_backend.
std::unique_ptr<Backend> make_backend(const EngineOptions& options);

}  // namespace quern
