#pragma once

#include <cstdint>

#include "base/threads/thread_pool.h"

namespace quern::cpu {

/// Runs body(index, thread) for each index in [0, count): on all threads of the pool if the total
/// number of multiply-adds is worth it, else on the calling thread, as thread 0. See
/// ThreadPool::parallel_for for the rules of a body.
template <typename Body>
void parallel_for(ThreadPool& pool, std::int64_t multiply_adds, std::int64_t count,
                  const Body& body) {
  // 25 us and 3 us of one core at 40 multiply-adds per nanosecond.
  constexpr std::int64_t kWorthWaking = std::int64_t{1} << 20;
  constexpr std::int64_t kWorthSharing = std::int64_t{1} << 17;  // while workers spin
  if (multiply_adds >= (pool.is_awake() ? kWorthSharing : kWorthWaking)) {
    return pool.parallel_for(count, body);
  }
  for (std::int64_t i = 0; i < count; ++i) body(i, 0);
}

}  // namespace quern::cpu
