#pragma once

#include <memory>

#include "backend/backend.h"

namespace quern {

/// The CPU backend, on OpenMP threads: float32 arithmetic by vector kernels of our own, or OpenBLAS
/// where the processor has none (docs/adr/0007); float16 and bfloat16 activations are rounded where
/// op.h says, so that it stands as the reference for kernels. Weights keep their stored dtype and
/// are widened tile by tile. `threads` 0: all that the process may use. OpenBLAS itself is held to
/// one thread, for the whole process.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0);

}  // namespace quern
