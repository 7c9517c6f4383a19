#include "base/threads/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/expect_error.h"

namespace quern {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Long enough for every idle worker to park.
void let_workers_park() { std::this_thread::sleep_for(milliseconds(5)); }

TEST(ThreadPool, ServesEachIndexOnceByAThreadOfTheTeam) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.num_threads(), threads);
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
      std::vector<std::atomic<int>> in_flight(static_cast<std::size_t>(threads));
      std::atomic<bool> as_promised = true;
      pool.parallel_for(count, [&](std::int64_t i, int thread) {
        if (thread < 0 || thread >= threads || in_flight[static_cast<std::size_t>(thread)]++ != 0) {
          as_promised = false;
        }
        ++visits[static_cast<std::size_t>(i)];
        --in_flight[static_cast<std::size_t>(thread)];
      });
      for (const auto& visit : visits) EXPECT_EQ(visit, 1) << threads << " threads of " << count;
      EXPECT_TRUE(as_promised);
    }
  }
}

/// Plain variables: ThreadSanitizer checks that a loop's writes happen before what follows it.
TEST(ThreadPool, ALoopSeesWhatTheOneBeforeItWrote) {
  ThreadPool pool(4);
  std::vector<std::int64_t> values(64, 0);
  for (int round = 0; round < 2000; ++round) {
    if (round % 500 == 0) let_workers_park();
    pool.parallel_for(
        64, [&](std::int64_t i, int) { ++values[static_cast<std::size_t>((i + round) % 64)]; });
  }
  for (const std::int64_t value : values) EXPECT_EQ(value, 2000);
}

TEST(ThreadPool, WorkersTakePart) {
  ThreadPool pool(3);
  for (const bool parked : {false, true}) {
    if (parked) let_workers_park();
    // Each index waits until all three threads have one: they run concurrently.
    std::atomic<int> arrived = 0;
    std::set<int> threads;
    std::mutex mutex;
    pool.parallel_for(3, [&](std::int64_t, int thread) {
      ++arrived;
      while (arrived < 3) std::this_thread::yield();
      const std::lock_guard lock(mutex);
      threads.insert(thread);
    });
    EXPECT_EQ(threads, (std::set<int>{0, 1, 2})) << (parked ? "parked" : "spinning");
  }
}

TEST(ThreadPool, TheCallerWaitsForAnIndexThatAWorkerHasBegun) {
  ThreadPool pool(2);
  std::atomic<bool> worker_has_one = false;
  std::atomic<int> ended = 0;
  pool.parallel_for(2, [&](std::int64_t, int thread) {
    if (thread == 0) {
      while (!worker_has_one) std::this_thread::yield();
    } else {
      worker_has_one = true;
      std::this_thread::sleep_for(milliseconds(20));  // the caller parks meanwhile
    }
    ++ended;
  });
  EXPECT_EQ(ended, 2);
}

TEST(ThreadPool, TheCallerServesAllTheRestWhereWorkersAreHeldUp) {
  ThreadPool pool(2);
  std::atomic<bool> worker_has_one = false;
  std::atomic<int> served = 0;
  pool.parallel_for(100, [&](std::int64_t, int thread) {
    if (thread == 0) {
      while (!worker_has_one) std::this_thread::yield();
    } else {
      worker_has_one = true;
      while (served < 99) std::this_thread::yield();
    }
    ++served;
  });
  EXPECT_EQ(served, 100);
}

/// A loop of two indices whose worker, if it runs on two threads, keeps the caller waiting. Returns
/// how many threads took part.
int stalling_loop(ThreadPool& pool) {
  std::atomic<int> workers = 0;
  const bool shared = pool.num_active() > 1;
  pool.parallel_for(2, [&](std::int64_t, int thread) {
    if (thread == 0) {
      while (shared && workers == 0) std::this_thread::yield();
    } else {
      ++workers;
      std::this_thread::sleep_for(milliseconds(2));
    }
  });
  return workers + 1;
}

TEST(ThreadPool, RunsLoopsOnFewerThreadsAfterStallsAndTriesAllAgain) {
  ThreadPool pool(2);
  // Once there are two in 25 ms, which one that comes late on a busy machine may miss.
  for (int i = 0; i < 100 && pool.num_active() == 2; ++i) EXPECT_EQ(stalling_loop(pool), 2);
  ASSERT_EQ(pool.num_active(), 1);
  const auto start = steady_clock::now();
  EXPECT_EQ(stalling_loop(pool), 1) << "the caller alone";
  while (pool.num_active() == 1) {
    ASSERT_LT(steady_clock::now() - start, std::chrono::seconds(60));
    std::this_thread::sleep_for(milliseconds(1));
    pool.parallel_for(2, [](std::int64_t, int) {});
  }
  EXPECT_EQ(stalling_loop(pool), 2) << "the worker takes part again";
}

TEST(ThreadPool, RethrowsAndEndsEarly) {
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    std::atomic<std::int64_t> begun = 0;
    const auto loop = [&] {
      pool.parallel_for(100000, [&](std::int64_t i, int) {
        ++begun;
        if (i == 13) throw std::runtime_error("thirteen");
        if (i > 13) std::this_thread::sleep_for(milliseconds(1));  // time for index 13 to throw
      });
    };
    EXPECT_THROW(loop(), std::runtime_error);
    EXPECT_GE(begun, 1);
    EXPECT_LT(begun, 100000);
    // All threads throw: one exception is rethrown, and none is left for the next loop.
    EXPECT_THROW(pool.parallel_for(50, [](std::int64_t, int) { throw std::runtime_error("all"); }),
                 std::runtime_error);
    std::atomic<int> served = 0;
    EXPECT_NO_THROW(pool.parallel_for(50, [&](std::int64_t, int) { ++served; }));
    EXPECT_EQ(served, 50);
  }
}

TEST(ThreadPool, RefusesALoopInsideALoop) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    EXPECT_QUERN_ERROR(ErrorCode::internal, ({"ThreadPool", "same pool"}),
                       pool.parallel_for(4, [&](std::int64_t, int) {
                         pool.parallel_for(2, [](std::int64_t, int) {});
                       }));
    std::atomic<int> served = 0;
    pool.parallel_for(4, [&](std::int64_t, int) { ++served; });
    EXPECT_EQ(served, 4);
  }
}

TEST(ThreadPool, AnotherPoolMayRunInsideALoop) {
  ThreadPool outer(2);
  std::atomic<int> served = 0;
  outer.parallel_for(4, [&](std::int64_t, int) {
    ThreadPool inner(2);
    inner.parallel_for(10, [&](std::int64_t, int) { ++served; });
  });
  EXPECT_EQ(served, 40);
}

TEST(ThreadPool, ManyPoolsSideBySide) {
  std::vector<std::thread> owners;
  std::atomic<std::int64_t> total = 0;
  for (int owner = 0; owner < 4; ++owner) {
    owners.emplace_back([&] {
      ThreadPool pool(3);
      for (int round = 0; round < 200; ++round) {
        std::atomic<std::int64_t> sum = 0;
        pool.parallel_for(20, [&](std::int64_t i, int) { sum += i; });
        total += sum;
      }
    });
  }
  for (std::thread& owner : owners) owner.join();
  EXPECT_EQ(total, 4 * 200 * 190);
}

TEST(ThreadPool, EndsWhileWorkersSpinOrAreParked) {
  // At every stage of a worker's life: starting, looking for work, spinning, parking, parked.
  for (int round = 0; round < 2000; ++round) {
    ThreadPool pool(3);
    if (round % 3 == 1) pool.parallel_for(8, [](std::int64_t, int) {});
    const auto end = steady_clock::now() + std::chrono::microseconds(round % 100);
    while (steady_clock::now() < end) {
    }
    if (round % 200 == 2) let_workers_park();
  }
}

TEST(ThreadPool, ParkedWorkersTakeNoTime) {
  ThreadPool pool(4);
  pool.parallel_for(100, [](std::int64_t, int) {});
  let_workers_park();
  const auto cpu_time = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  const double before = cpu_time();
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_LT(cpu_time() - before, 0.02) << "seconds of processor time in 0.2 s without work";
}

TEST(ThreadPool, WorkersBlockSignalsAndTheCallerDoesNot) {
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  ThreadPool pool(2);
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(sigismember(&after, SIGINT), sigismember(&before, SIGINT));
  std::atomic<int> arrived = 0;
  std::atomic<int> blocked = -1;
  pool.parallel_for(2, [&](std::int64_t, int thread) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    if (thread == 1) blocked = sigismember(&mask, SIGINT);
  });
  EXPECT_EQ(blocked, 1);
}

TEST(ThreadPool, RefusesNoThreads) {
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"0"}), ThreadPool(0));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which reserve address space
std::ptrdiff_t num_tasks() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

/// Ends with status 0 if a pool that the system has no room for throws and leaves no thread.
[[noreturn]] void ask_for_too_many_threads() {
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = std::uint64_t{1} << 30;
  setrlimit(RLIMIT_AS, &limit);
  try {
    const ThreadPool pool(4096);
  } catch (const Error& error) {
    const std::string message = error.what();
    const bool told = error.code() == ErrorCode::device &&
                      message.find("of 4096") != std::string::npos &&
                      message.find("Resource temporarily unavailable") != std::string::npos;
    // A joined thread disappears from this folder a moment later.
    for (int i = 0; i < 1000 && num_tasks() > 1; ++i) std::this_thread::sleep_for(milliseconds(1));
    std::_Exit(told && num_tasks() == 1 ? 0 : 2);
  }
  std::_Exit(1);
}

TEST(ThreadPoolDeathTest, NamesTheSystemsErrorWhenAThreadCannotBeStarted) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(ask_for_too_many_threads(), ::testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace quern
