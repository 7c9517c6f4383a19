#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace quern::cpu {

/// The threads that the process may use (OMP_NUM_THREADS, else its processors); 1 without OpenMP.
inline int usable_threads() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

/// The threads worth waking for that many multiply-adds: all of them, or only the caller.
inline int threads_for(int threads, std::int64_t multiply_adds) {
  constexpr std::int64_t kWorthWaking = 1 << 21;  // some fifty microseconds of one core
  return multiply_adds < kWorthWaking ? 1 : threads;
}

/// Calls body(index, thread) once for each index in [0, count), on up to `threads` threads, and
/// waits. `thread` is below `threads`; which one serves an index is open, so a body's result must
/// not depend on it. An exception of a body is rethrown here after all have ended. Does not nest.
template <typename Body>
void parallel_for(int threads, std::int64_t count, const Body& body) {
#if defined(_OPENMP)
  const int team = static_cast<int>(std::min<std::int64_t>(threads, count));
  if (team > 1) {
    std::exception_ptr error;
#pragma omp parallel for num_threads(team) schedule(dynamic)
    for (std::int64_t i = 0; i < count; ++i) {
      try {
        body(i, omp_get_thread_num());
      } catch (...) {  // must not leave the parallel region
#pragma omp critical(quern_parallel_for)
        error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
    return;
  }
#else
  static_cast<void>(threads);
#endif
  for (std::int64_t i = 0; i < count; ++i) body(i, 0);
}

}  // namespace quern::cpu
