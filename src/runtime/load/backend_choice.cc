#include "runtime/load/backend_choice.h"

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/driver/device_query.h"
#include "base/error.h"
#include "base/log.h"
#include "runtime/load/timed_phase.h"

#ifdef QUERN_WITH_CUDA
#include "backend/cuda/cuda_backend.h"
#endif

namespace quern {

DeviceChoice choose_device(DeviceChoice wanted) {
  if (wanted == DeviceChoice::cpu) return wanted;
#ifdef QUERN_WITH_CUDA
  if (wanted == DeviceChoice::cuda) return wanted;
  const TimedPhase phase("looking for a GPU");
  try {
    const CudaEnvironment environment = query_cuda_driver();
    usable_gpu(environment, 0);
    return DeviceChoice::cuda;
  } catch (const Error& error) {
    log(LogLevel::info, "{}: running on the CPU", error.what());
  }
#else
  if (wanted == DeviceChoice::cuda) {
    fail(ErrorCode::device, "device cuda: this build of Quern is without CUDA (QUERN_CUDA)");
  }
#endif
  return DeviceChoice::cpu;
}

std::unique_ptr<Backend> make_backend(const EngineOptions& options) {
  const TimedPhase phase("starting the backend");
#ifdef QUERN_WITH_CUDA
  if (options.device == DeviceChoice::cuda) return make_cuda_backend(options.device_index);
#endif
  return make_cpu_backend(options.threads);
}

}  // namespace quern
