#pragma once

#include <span>

#include "graph/step.h"

namespace quern {

/// Checks the preconditions of Backend::copy_blocks. Errors: internal.
void check_block_copies(const KvCacheView& cache, std::span<const BlockCopy> copies);

}  // namespace quern
