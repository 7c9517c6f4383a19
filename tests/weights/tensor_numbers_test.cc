#include "weights/tensor_numbers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

namespace quern {
namespace {

constexpr int kNumThreads = 4;

/// Calls body() on several threads at a time.
template <typename Body>
void on_threads(const Body& body) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < kNumThreads; ++i) threads.emplace_back(body);
}

TEST(TensorNumbers, EveryBlockIsReadOnceWhoeverAsks) {
  for (const std::int64_t numel : {0, 1, 7, 8, 1000}) {
    SCOPED_TRACE(numel);
    TensorNumbers numbers(numel, sizeof(std::int32_t), 8);
    std::atomic<std::int64_t> num_read = 0;
    std::atomic<int> num_wrong = 0;
    on_threads([&] {
      const std::byte* values =
          numbers.get([&](std::int64_t first, std::int64_t count, std::byte* out) {
            num_read += count;
            for (std::int64_t i = 0; i < count; ++i) {
              const auto number = static_cast<std::int32_t>(3 * (first + i));
              std::memcpy(out + i * 4, &number, sizeof(number));
            }
          });
      for (std::int64_t i = 0; i < numel; ++i) {
        std::int32_t number = -1;
        std::memcpy(&number, values + i * 4, sizeof(number));
        num_wrong += number == 3 * i ? 0 : 1;
      }
    });
    EXPECT_EQ(num_read, numel);
    EXPECT_EQ(num_wrong, 0);
  }
}

TEST(TensorNumbers, AnErrorReachesEveryCallerAndNobodyWaitsForEver) {
  TensorNumbers numbers(100, 1, 8);
  std::atomic<int> num_errors = 0;
  on_threads([&] {
    try {
      numbers.get([](std::int64_t first, std::int64_t, std::byte*) {
        if (first == 16) throw std::runtime_error("cut short");
      });
    } catch (const std::runtime_error&) {
      ++num_errors;
    }
  });
  EXPECT_EQ(num_errors, kNumThreads);
}

}  // namespace
}  // namespace quern
