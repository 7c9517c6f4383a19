#include "base/system/system.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace quern {
namespace {

TEST(System, ThreadsAreThoseOfTheAffinityMask) {
  const int before = available_threads();
  ASSERT_GE(before, 1);
  int narrowed = 0;
  std::thread([&] {  // the mask is a thread's own
    cpu_set_t one;
    ASSERT_EQ(sched_getaffinity(0, sizeof(one), &one), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &one)) ++cpu;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    narrowed = available_threads();
  })
      .join();
  EXPECT_EQ(narrowed, 1);
  EXPECT_EQ(available_threads(), before);
}

TEST(System, MemoryIsThere) {
  EXPECT_GT(available_host_memory(), 0u);
  EXPECT_GT(peak_resident_bytes(), std::uint64_t{1} << 16);
}

}  // namespace
}  // namespace quern
