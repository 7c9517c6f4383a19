#pragma once

#include <memory>

#include "backend/backend.h"
#include "quern/engine.h"

namespace quern {

/// Turns DeviceChoice::automatic into cuda, where this build has CUDA and finds a GPU that it can
/// use, or else cpu, with a log line that says why. Errors: device when cuda is asked for and this
/// build has none.
DeviceChoice choose_device(DeviceChoice wanted);

/// The backend of options whose device is chosen. Errors: those of make_cuda_backend.
std::unique_ptr<Backend> make_backend(const EngineOptions& options);

}  // namespace quern
