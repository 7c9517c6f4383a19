#pragma once

#include <stdexcept>

// Not in the headers of what throws these: nvcc takes a second for <stdexcept> in every source.

namespace quern::kernels {

/// A kernel launch failed: the message has its name, grid and CUDA's error.
class LaunchError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Thrown for values that a kernel is not instantiated for: a bug of the caller. The message names
/// the legal values.
class DispatchError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace quern::kernels
