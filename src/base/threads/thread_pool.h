#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/threads/stall_limit.h"

namespace quern {

/// The threads of one CPU backend. Its owner and the workers claim the indices of a loop one at a
/// time, so that the loop ends whether or not a worker gets a processor: the owner waits only for
/// indices that a worker has begun. A thread without work spins for some microseconds, then parks.
/// While other processes keep taking the workers' processors, fewer threads run loops (StallLimit).
class ThreadPool {
 public:
  /// Starts num_threads - 1 workers, with all signals blocked; the caller of parallel_for is the
  /// last thread. num_threads >= 1.
  /// Errors: device, with the system's reason, when a thread cannot be started; none is left then.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// How many of them run loops at present.
  int num_active() const { return static_cast<int>(num_active_.load(std::memory_order_relaxed)); }

  /// Whether no worker is parked, so that a loop costs no wake-up. A hint: it may be out of date.
  bool is_awake() const { return num_parked_.load(std::memory_order_relaxed) == 0; }

  /// Calls body(std::int64_t index, int thread) once for each index in [0, count) and returns when
  /// all calls have returned. Calls in flight at the same time have different `thread`s, below
  /// num_threads(). Which thread serves an index is open: results must not depend on it. Keep
  /// indices below some 100 us of work, because the caller waits for one that a worker has begun.
  /// After an exception of a body no further index is begun; the first one is rethrown here.
  /// Errors: internal when the pool already runs a loop (a nested one, or another thread's).
  template <typename Body>
  void parallel_for(std::int64_t count, const Body& body) {
    run({[](const void* context, std::int64_t index, int thread) {
           (*static_cast<const Body*>(context))(index, thread);
         },
         &body, count});
  }

 private:
  struct Loop {
    void (*call)(const void* context, std::int64_t index, int thread) = nullptr;
    const void* context = nullptr;
    std::int64_t count = 0;
  };

  void run(const Loop& loop);
  void run_shared(const Loop& loop);
  /// Adds `count` unclaimed indices under a new epoch and wakes parked workers for them.
  void publish(std::uint32_t count);
  /// Claims and serves indices until none is left; how many.
  std::uint32_t serve(int thread);
  void call_body(const Loop& loop, std::int64_t index, int thread);
  /// Returns when all `count` indices are served: how long it parked.
  StallLimit::Clock::duration wait_until_done(std::uint32_t count);
  /// Lets the first num_active threads run loops; parked ones among them wake up.
  void set_num_active(int num_active);
  void work(int thread);
  void stop();

  // What the published loop is. Atomic because a late worker may read them while the next loop is
  // laid out; it cannot claim anything then, and drops what it has read.
  std::atomic<void (*)(const void*, std::int64_t, int)> call_ = nullptr;
  std::atomic<const void*> context_ = nullptr;
  std::atomic<std::int64_t> count_ = 0;
  std::atomic<bool> failed_ = false;  ///< a body has thrown: claimed indices are passed over
  std::atomic<bool> running_ = false;
  std::atomic<bool> stopping_ = false;
  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::vector<std::thread> workers_;
  StallLimit stall_limit_;  ///< the caller's

  // Each on a cache line of its own.
  /// Epoch in the upper half, unclaimed indices in the lower: a claim can only succeed in the loop
  /// that its claimer has read.
  alignas(64) std::atomic<std::uint64_t> claims_ = 0;
  alignas(64) std::atomic<std::uint32_t> done_ = 0;  ///< indices served; the caller parks here
  std::atomic<bool> caller_parked_ = false;
  alignas(64) std::atomic<std::uint32_t> epoch_ = 0;  ///< of claims_; workers park here
  std::atomic<int> num_parked_ = 0;                   ///< at epoch_
  std::atomic<std::uint32_t> num_active_;  ///< threads that run loops; the other workers park here
};

}  // namespace quern
