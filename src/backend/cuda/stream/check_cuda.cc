#include "backend/cuda/stream/check_cuda.h"

#include "base/error.h"

namespace quern::cuda {
namespace {

/// Whether the error is sticky: CUDA returns it from every later call of the process, and neither
/// destroying everything nor cudaDeviceReset clears it.
bool is_final(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
      return true;
    default:
      return false;
  }
}

}  // namespace

void check_cuda(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // it is told here; later calls shall not tell it again
  fail(status == cudaErrorMemoryAllocation ? ErrorCode::out_of_memory : ErrorCode::device,
       "{} failed: {} ({}){}", call, cudaGetErrorString(status), cudaGetErrorName(status),
       is_final(status) ? "; this process cannot use the GPU any more and must be restarted" : "");
}

}  // namespace quern::cuda
