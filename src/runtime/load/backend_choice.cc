#include "runtime/load/backend_choice.h"

#include <fmt/format.h>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/driver/device_query.h"
#include "base/error.h"
#include "base/log.h"
#include "runtime/load/timed_phase.h"

#ifdef QUERN_WITH_CUDA
#include "backend/cuda/cuda_backend.h"
#endif

namespace quern {

AutomaticDevice automatic_device(const CudaEnvironment& found, std::optional<int> index) {
  AutomaticDevice chosen;
  if (!found.built_with_cuda) {
    chosen.reason = "this build of Quern is without CUDA (QUERN_CUDA)";
    if (!found.gpus.empty()) {
      chosen.reason += fmt::format(", and GPU 0 ({}) is not used", found.gpus.front().name);
      chosen.level = LogLevel::warning;
    }
    return chosen;
  }
  try {
    chosen.index = usable_gpu(found, index).index;
    chosen.device = DeviceChoice::cuda;
  } catch (const Error& error) {
    chosen.reason = error.what();
    chosen.level = LogLevel::warning;
  }
  return chosen;
}

void choose_device(EngineOptions& options) {
  if (options.device == DeviceChoice::automatic) {
    const TimedPhase phase("looking for a GPU");
    const AutomaticDevice chosen = automatic_device(query_cuda_driver(), options.device_index);
    if (!chosen.reason.empty()) log(chosen.level, "{}: running on the CPU", chosen.reason);
    options.device = chosen.device;
    options.device_index = chosen.index;
  } else if (options.device == DeviceChoice::cpu) {
    options.device_index.reset();
  } else {
#ifdef QUERN_WITH_CUDA
    if (!options.device_index) {
      const TimedPhase phase("looking for a GPU");
      options.device_index = usable_gpu(query_cuda_driver(), std::nullopt).index;
    }
#else
    fail(ErrorCode::device, "device cuda: this build of Quern is without CUDA (QUERN_CUDA)");
#endif
  }
}

std::unique_ptr<Backend> make_backend(const EngineOptions& options) {
  const TimedPhase phase("starting the backend");
#ifdef QUERN_WITH_CUDA
  if (options.device == DeviceChoice::cuda) {
    return make_cuda_backend(options.device_index.value(), options.deterministic);
  }
#endif
  return make_cpu_backend(options.threads);
}

}  // namespace quern
