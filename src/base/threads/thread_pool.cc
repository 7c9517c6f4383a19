#include "base/threads/thread_pool.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/threads/blocked_signals.h"

namespace quern {
namespace {

// A wake-up costs tens of microseconds, much more from a deep sleep state. A spinning thread that
// is preempted by another process would keep it from useful work for longer.
constexpr std::chrono::microseconds kSpin{50};

/// Parks (futex) while `word` is `expected`; may return spuriously.
void park(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
  static_assert(sizeof(word) == sizeof(std::uint32_t));
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void unpark(std::atomic<std::uint32_t>& word, int num_threads) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, num_threads, nullptr, nullptr, 0);
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Spins until `ready` or for kSpin; returns whether it was ready.
template <typename Ready>
bool spin(const Ready& ready) {
  constexpr int kReadsOfTheClockApart = 16;
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < kReadsOfTheClockApart; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

/// How long the calling thread has had a processor.
StallLimit::Clock::duration thread_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::uint32_t unclaimed(std::uint64_t claims) { return static_cast<std::uint32_t>(claims); }
std::uint32_t epoch_of(std::uint64_t claims) { return static_cast<std::uint32_t>(claims >> 32); }

}  // namespace

ThreadPool::ThreadPool(int num_threads)
    : stall_limit_(num_threads), num_active_(static_cast<std::uint32_t>(num_threads)) {
  QUERN_CHECK(num_threads >= 1, "{} threads", num_threads);
  workers_.reserve(static_cast<std::size_t>(num_threads) - 1);
  const BlockedSignals blocked;
  try {
    for (int thread = 1; thread < num_threads; ++thread) {
      workers_.emplace_back([this, thread] { work(thread); });
    }
  } catch (const std::system_error& error) {
    const std::size_t started = workers_.size();
    stop();
    fail(ErrorCode::device, "threads: {} of {} could be started ({}); lower threads", started + 1,
         num_threads, error.code().message());
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_ = true;
  publish(0);
  set_num_active(num_threads());
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::run(const Loop& loop) {
  if (running_.exchange(true, std::memory_order_acquire)) {
    fail(ErrorCode::internal, "ThreadPool: a loop inside or beside a loop of the same pool");
  }
  struct Release {
    ~Release() { running.store(false, std::memory_order_release); }
    std::atomic<bool>& running;
  } release{running_};
  if (stall_limit_.is_reduced() && stall_limit_.try_more(StallLimit::Clock::now())) {
    set_num_active(stall_limit_.num_threads());
  }
  if (loop.count <= 1 || stall_limit_.num_threads() == 1) {
    for (std::int64_t i = 0; i < loop.count; ++i) loop.call(loop.context, i, 0);
    return;
  }
  QUERN_CHECK(loop.count <= std::numeric_limits<std::uint32_t>::max(), "{}", loop.count);
  run_shared(loop);
}

void ThreadPool::run_shared(const Loop& loop) {
  const auto count = static_cast<std::uint32_t>(loop.count);
  call_.store(loop.call, std::memory_order_relaxed);
  context_.store(loop.context, std::memory_order_relaxed);
  count_.store(loop.count, std::memory_order_relaxed);
  failed_.store(false, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  const auto start = StallLimit::Clock::now();
  const bool measure = stall_limit_.measures_lost(start);
  const auto ran = measure ? thread_time() : StallLimit::Clock::duration{};
  StallLimit::Loop seen;
  publish(count);
  seen.num_served = serve(0);
  seen.parked = wait_until_done(count);
  const auto end = StallLimit::Clock::now();
  seen.wall = end - start;
  if (measure) seen.lost = seen.wall - seen.parked - (thread_time() - ran);
  stall_limit_.note_duration(seen.wall, end);
  if (StallLimit::is_stall(seen) && stall_limit_.stalled(end)) {
    set_num_active(stall_limit_.num_threads());
  }
  if (failed_.load(std::memory_order_relaxed)) {
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

void ThreadPool::publish(std::uint32_t count) {
  const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  claims_.store(std::uint64_t{epoch} << 32 | count, std::memory_order_release);
  epoch_ = epoch;
  // Either this sees a worker that parks, or the worker sees the new epoch and does not.
  if (num_parked_ == 0) return;
  const std::size_t wanted = count == 0 ? workers_.size() : count - 1;
  unpark(epoch_, static_cast<int>(std::min(wanted, workers_.size())));
}

std::uint32_t ThreadPool::serve(int thread) {
  std::uint32_t served = 0;
  std::uint64_t claims = claims_.load(std::memory_order_acquire);
  while (unclaimed(claims) > 0) {
    const Loop loop{call_.load(std::memory_order_relaxed), context_.load(std::memory_order_relaxed),
                    count_.load(std::memory_order_relaxed)};
    // On success no index was claimed since `claims` was read, so the loop is still that one.
    if (!claims_.compare_exchange_weak(claims, claims - 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
      continue;
    }
    call_body(loop, loop.count - unclaimed(claims), thread);
    ++served;
    claims = claims_.load(std::memory_order_acquire);
  }
  if (served > 0) done_ += served;
  if (served > 0 && thread != 0 && caller_parked_) unpark(done_, 1);
  return served;
}

void ThreadPool::call_body(const Loop& loop, std::int64_t index, int thread) {
  if (failed_.load(std::memory_order_relaxed)) return;
  try {
    loop.call(loop.context, index, thread);
  } catch (...) {
    const std::lock_guard lock(error_mutex_);
    if (error_ == nullptr) error_ = std::current_exception();
    failed_.store(true, std::memory_order_relaxed);
  }
}

StallLimit::Clock::duration ThreadPool::wait_until_done(std::uint32_t count) {
  if (spin([&] { return done_.load(std::memory_order_acquire) == count; })) return {};
  const auto start = StallLimit::Clock::now();
  caller_parked_ = true;
  for (std::uint32_t done = done_; done != count; done = done_) park(done_, done);
  caller_parked_ = false;
  return StallLimit::Clock::now() - start;
}

void ThreadPool::set_num_active(int num_active) {
  num_active_ = static_cast<std::uint32_t>(num_active);
  unpark(num_active_, static_cast<int>(workers_.size()));
}

void ThreadPool::work(int thread) {
  for (;;) {
    serve(thread);
    const std::uint64_t seen = claims_.load(std::memory_order_acquire);
    // After the load: the epoch that stop() publishes is the last, and nobody would end a park in
    // it.
    if (stopping_) return;
    const std::uint32_t num_active = num_active_;
    if (static_cast<std::uint32_t>(thread) >= num_active) {
      park(num_active_, num_active);
      continue;
    }
    if (unclaimed(seen) > 0) continue;
    if (spin([&] { return claims_.load(std::memory_order_acquire) != seen; })) continue;
    ++num_parked_;
    park(epoch_, epoch_of(seen));
    --num_parked_;
  }
}

}  // namespace quern
