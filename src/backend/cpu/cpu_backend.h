#pragma once

#include <memory>

#include "backend/backend.h"

namespace quern {

/// The CPU backend: float32 arithmetic by vector kernels chosen at run time (docs/adr/0007);
/// float16 and bfloat16 activations are rounded where op.h says, so that it is the reference for
/// the CUDA kernels. Weights keep their stored dtype and are widened tile by tile. It owns a
/// ThreadPool of `threads` threads including the caller; 0: all CPUs that the process may use.
/// Results do not depend on the number of threads. It changes no process-wide setting. Errors:
/// invalid_argument for negative threads; device when a thread cannot be started.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0);

}  // namespace quern
