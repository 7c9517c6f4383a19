#pragma once

#include <cstdint>
#include <span>

#include "base/threads/thread_pool.h"

namespace quern {

/// Replaces a symmetric positive definite matrix H, [size, size] row-major, by the upper triangular
/// M with H = M · Mᵀ. What is below the diagonal stays as it is. Returns false, with the rest
/// undefined, where H is not positive definite in float32. The bits do not depend on the number of
/// threads. Cost: size³ / 3 multiply-adds.
bool factorize_upper(std::span<float> matrix, std::int64_t size, ThreadPool& pool);

}  // namespace quern
