#include "runtime/request/cancellations.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

namespace quern {
namespace {

using RequestIds = std::unordered_set<RequestId>;

TEST(Cancellations, OnlyLiveRequestsAreCancelled) {
  Cancellations cancellations;
  cancellations.add(3);
  cancellations.add(4);
  for (const RequestId id : {RequestId{3}, RequestId{3}, RequestId{5}, RequestId{0}}) {
    cancellations.cancel(id);
  }
  EXPECT_EQ(cancellations.take(), RequestIds{3});
  EXPECT_EQ(cancellations.take(), RequestIds{});
  cancellations.cancel(4);
  cancellations.erase(4);
  EXPECT_EQ(cancellations.take(), RequestIds{}) << "it ended by itself before anyone looked";
  cancellations.cancel(4);
  EXPECT_EQ(cancellations.take(), RequestIds{});
  cancellations.cancel(3);
  cancellations.clear();
  cancellations.cancel(3);
  EXPECT_EQ(cancellations.take(), RequestIds{});
}

TEST(Cancellations, AnyThreadMayCancel) {
  constexpr RequestId kNumRequests = 2000;
  Cancellations cancellations;
  std::atomic<bool> done = false;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!done) {
        for (RequestId id = 0; id <= kNumRequests + 5; ++id) cancellations.cancel(id);
      }
    });
  }
  std::set<RequestId> live, taken;
  for (RequestId id = 1; id <= kNumRequests; ++id) {
    cancellations.add(id);
    live.insert(id);
    for (const RequestId cancelled : cancellations.take()) {
      EXPECT_TRUE(live.contains(cancelled));
      taken.insert(cancelled);
    }
    if (id % 2 == 0) {
      cancellations.erase(id / 2);
      live.erase(id / 2);
    }
  }
  while (taken.empty()) {
    for (const RequestId cancelled : cancellations.take()) taken.insert(cancelled);
  }
  done = true;
}

}  // namespace
}  // namespace quern
