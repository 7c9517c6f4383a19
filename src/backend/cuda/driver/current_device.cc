#include "backend/cuda/driver/current_device.h"

#include <cstddef>
#include <mutex>
#include <vector>

#include "backend/cuda/driver/dynamic_library.h"

namespace quern::cuda {
namespace {

using Context = void*;  // CUcontext

/// The driver's functions for a thread's context stack, and the retained primary contexts.
class ContextStack {
 public:
  bool push(int index) {
    const Context context = primary_context(index);
    return context != nullptr && push_ != nullptr && pop_ != nullptr && push_(context) == 0;
  }

  void pop() const noexcept {
    Context popped = nullptr;
    pop_(&popped);
  }

 private:
  /// Null when there is no such GPU or no driver.
  Context primary_context(int index) {
    if (index < 0) return nullptr;
    const std::scoped_lock lock(mutex_);
    const auto place = static_cast<std::size_t>(index);
    if (place < contexts_.size() && contexts_[place] != nullptr) return contexts_[place];
    const auto init = library_.function<int(unsigned)>("cuInit");
    const auto get_device = library_.function<int(int*, int)>("cuDeviceGet");
    const auto retain = library_.function<int(Context*, int)>("cuDevicePrimaryCtxRetain");
    if (init == nullptr || get_device == nullptr || retain == nullptr) return nullptr;
    int device = 0;
    Context context = nullptr;
    if (init(0) != 0 || get_device(&device, index) != 0 || retain(&context, device) != 0) {
      return nullptr;
    }
    if (contexts_.size() <= place) contexts_.resize(place + 1);
    contexts_[place] = context;
    return context;
  }

  DynamicLibrary library_{"libcuda.so.1"};
  int (*push_)(Context) = library_.function<int(Context)>("cuCtxPushCurrent_v2");
  int (*pop_)(Context*) = library_.function<int(Context*)>("cuCtxPopCurrent_v2");
  std::mutex mutex_;
  std::vector<Context> contexts_;  ///< by GPU; null: not retained yet
};

/// One in a process, as contexts are. Never destroyed: an engine may outlive every static object.
ContextStack& context_stack() {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
  static auto* const stack = new ContextStack;
  return *stack;
}

}  // namespace

bool push_current_device(int index) { return context_stack().push(index); }
void pop_current_device() noexcept { context_stack().pop(); }

}  // namespace quern::cuda
