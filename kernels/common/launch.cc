#include "kernels/common/launch.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <utility>

#include "kernels/common/errors.h"

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

/// Attributes that launches need a kernel to have.
struct KernelAttributes {
  std::size_t shared_bytes = 0;
  bool prefers_shared = false;  ///< shared memory over L1 in the carveout

  bool cover(const KernelAttributes& wanted) const {
    return shared_bytes >= wanted.shared_bytes && (prefers_shared || !wanted.prefers_shared);
  }
};

/// The attributes set so far, of all kernels on all devices. CUDA keeps them per process, whichever
/// engine set them, so this record is global too. It only grows, to one entry per kernel and
/// device.
class AttributeRecord {
 public:
  static AttributeRecord& of_process() {
    static AttributeRecord record;
    return record;
  }

  template <typename Set>
  void require(const void* kernel, int device, const KernelAttributes& wanted, const Set& set) {
    const std::pair key(kernel, device);
    {
      const std::shared_lock lock(mutex_);
      const auto known = set_.find(key);
      if (known != set_.end() && known->second.cover(wanted)) return;
    }
    const std::lock_guard lock(mutex_);
    KernelAttributes& known = set_[key];
    const KernelAttributes all = {std::max(known.shared_bytes, wanted.shared_bytes),
                                  known.prefers_shared || wanted.prefers_shared};
    set(all);
    known = all;
  }

 private:
  std::shared_mutex mutex_;
  std::map<std::pair<const void*, int>, KernelAttributes> set_;
};

}  // namespace

void check_launch(cudaError_t status, const void* kernel, const LaunchShape& shape) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // clears it: later calls must not report it again
  throw LaunchError("launching " + kernel_name(kernel) + " with " + text(shape.grid) +
                    " blocks of " + text(shape.block) + " threads and " +
                    std::to_string(shape.shared_bytes) +
                    " bytes of shared memory failed: " + cudaGetErrorString(status));
}

void set_kernel_attributes(const void* kernel, const LaunchShape& shape, std::size_t shared_bytes) {
  int device = 0;
  check_launch(cudaGetDevice(&device), kernel, shape);
  const auto set = [&](cudaFuncAttribute attribute, int value) {
    check_launch(cudaFuncSetAttribute(kernel, attribute, value), kernel, shape);
  };
  AttributeRecord::of_process().require(
      kernel, device, {shared_bytes, shape.use_pdl}, [&](const KernelAttributes& all) {
        if (all.shared_bytes > 0) {
          set(cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(all.shared_bytes));
        }
        // Kernels with different carveouts cannot be co-resident on a multiprocessor.
        if (all.prefers_shared) {
          set(cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
        }
      });
}

}  // namespace quern::kernels
