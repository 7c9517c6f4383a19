#include "backend/cpu/measure.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "backend/cpu/parallel.h"
#include "base/buffer.h"

namespace quern::cpu {
namespace {

double now_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::micro>(now).count();
}

std::uint64_t sum_words(const std::byte* data, std::size_t size_bytes) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(data);
  const std::size_t count = size_bytes / sizeof(std::uint64_t);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += words[i];
  return sum;
}

}  // namespace

void ClockStopwatch::start(int num_marks) {
  marks_us_.clear();
  marks_us_.reserve(static_cast<std::size_t>(num_marks) + 1);
  mark();
}

void ClockStopwatch::mark() { marks_us_.push_back(now_us()); }

std::vector<double> ClockStopwatch::take_laps_us() {
  std::vector<double> laps;
  for (std::size_t i = 1; i < marks_us_.size(); ++i)
    laps.push_back(marks_us_[i] - marks_us_[i - 1]);
  marks_us_.clear();
  return laps;
}

double measure_read_gbps(int threads) {
  constexpr std::int64_t kBands = 256;
  constexpr std::size_t kBandBytes = std::size_t{1} << 20;
  constexpr int kPasses = 4;
  const Buffer memory = allocate_host(kBands * kBandBytes, "memory to measure its bandwidth");
  // Pages that nobody has written all lie in one place, which a cache holds.
  std::memset(memory.data(), 1, memory.size_bytes());
  std::atomic<std::uint64_t> sum = 0;
  ClockStopwatch stopwatch;
  stopwatch.start(kPasses);
  for (int pass = 0; pass < kPasses; ++pass) {
    parallel_for(threads, kBands, [&](std::int64_t band, int) {
      sum += sum_words(memory.data() + band * static_cast<std::int64_t>(kBandBytes), kBandBytes);
    });
    stopwatch.mark();
  }
  const std::vector<double> laps = stopwatch.take_laps_us();
  return static_cast<double>(memory.size_bytes()) / *std::min_element(laps.begin(), laps.end()) /
         1e3;
}

}  // namespace quern::cpu
