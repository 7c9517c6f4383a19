#include "kernels/common/launch.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace quern::kernels {
namespace {

std::string kernel_name(const void* kernel) {
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess || mangled == nullptr) return "a kernel";
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(mangled, nullptr, nullptr, nullptr), std::free);
  return name != nullptr ? name.get() : mangled;
}

std::string text(const dim3& size) {
  return std::to_string(size.x) + " x " + std::to_string(size.y) + " x " + std::to_string(size.z);
}

}  // namespace

void check_launch(cudaError_t status, const void* kernel, const LaunchShape& shape) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // it is told here; later calls shall not tell it again
  throw LaunchError("launching " + kernel_name(kernel) + " with " + text(shape.grid) +
                    " blocks of " + text(shape.block) + " threads and " +
                    std::to_string(shape.shared_bytes) +
                    " bytes of shared memory failed: " + cudaGetErrorString(status));
}

}  // namespace quern::kernels
