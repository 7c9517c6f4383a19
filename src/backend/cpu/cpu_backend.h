#pragma once

#include <memory>

#include "backend/backend.h"

namespace quern {

/// The CPU backend: float32 arithmetic by vector kernels chosen for this processor (docs/adr/0007);
/// float16 and bfloat16 activations are rounded where op.h says, so that it is the reference for
/// the CUDA kernels. Weights keep their stored dtype and are widened tile by tile. It has a
/// ThreadPool of its own of `threads` threads, the caller included; 0: all that the process may
/// use. Results do not depend on their number. It changes no setting of its process.
/// Errors: invalid_argument for negative threads; device when a thread cannot be started.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0);

}  // namespace quern
