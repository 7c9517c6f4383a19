#include "kernels/common/dispatch.h"

#include <string>

#include "kernels/common/errors.h"

namespace quern::kernels {

void throw_dispatch_error(const char* kernel, const char* name, const char* expected,
                          const char* got) {
  throw DispatchError(std::string(kernel) + ": " + name + ": expected " + expected + ", got " +
                      got);
}

void throw_dispatch_error(const char* kernel, const char* name, std::span<const int> expected,
                          int got) {
  std::string legal;
  for (const int value : expected) {
    legal += legal.empty() ? "one of " : ", ";
    legal += std::to_string(value);
  }
  throw_dispatch_error(kernel, name, legal.c_str(), std::to_string(got).c_str());
}

}  // namespace quern::kernels
