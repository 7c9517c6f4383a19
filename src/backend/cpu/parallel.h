#pragma once

#include <cstdint>

#include "base/thread_pool.h"

namespace quern::cpu {

/// Runs body(index, thread) for each index in [0, count): on all threads of the pool where that
/// many multiply-adds in total are worth it, else on the calling thread, as thread 0.
/// See ThreadPool::parallel_for for what a body may do.
template <typename Body>
void parallel_for(ThreadPool& pool, std::int64_t multiply_adds, std::int64_t count,
                  const Body& body) {
  // Of one core at 40 multiply-adds a nanosecond: 25 us and 3 us.
  constexpr std::int64_t kWorthWaking = std::int64_t{1} << 20;
  constexpr std::int64_t kWorthSharing = std::int64_t{1} << 17;  // where workers spin
  if (multiply_adds >= (pool.is_awake() ? kWorthSharing : kWorthWaking)) {
    return pool.parallel_for(count, body);
  }
  for (std::int64_t i = 0; i < count; ++i) body(i, 0);
}

}  // namespace quern::cpu
