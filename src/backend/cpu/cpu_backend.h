#pragma once

#include <memory>

#include "backend/backend.h"

namespace quern {

/// The CPU backend: float32 through OpenBLAS and OpenMP; float16 and bfloat16 activations are
/// rounded where op.h says, so that it stands as the reference for kernels. Weights keep their
/// stored dtype and are widened tile by tile. `threads` 0: all that the process may use. OpenBLAS
/// itself is held to one thread, for the whole process.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0);

}  // namespace quern
