#include "backend/cuda/driver/dynamic_library.h"

#include <dlfcn.h>

namespace quern {

// A driver that has been initialized stays mapped: its threads may outlive the handle.
DynamicLibrary::DynamicLibrary(const char* soname)
    : handle_(::dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) {
  if (handle_ != nullptr) return;
  const char* reason = ::dlerror();
  error_ = reason != nullptr ? reason : std::string(soname) + ": cannot be opened";
}

DynamicLibrary::~DynamicLibrary() {
  if (handle_ != nullptr) ::dlclose(handle_);
}

void* DynamicLibrary::symbol(const char* name) const {
  return handle_ != nullptr ? ::dlsym(handle_, name) : nullptr;
}

}  // namespace quern
