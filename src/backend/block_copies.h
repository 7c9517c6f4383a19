#pragma once

#include <span>

#include "graph/step.h"

namespace quern {

/// Checks what Backend::copy_blocks asks of its pairs. Errors: internal.
void check_block_copies(const KvCacheView& cache, std::span<const BlockCopy> copies);

}  // namespace quern
