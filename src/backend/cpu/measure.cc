#include "backend/cpu/measure.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "backend/cpu/gemm/projection.h"
#include "backend/workspace.h"
#include "base/memory/buffer.h"
#include "weights/random.h"
#include "weights/weight.h"

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

/// The time of the fastest of `passes` passes.
template <typename Pass>
double best_lap_us(int passes, const Pass& pass) {
  ClockStopwatch stopwatch;
  stopwatch.start(passes);
  for (int i = 0; i < passes; ++i) {
    pass();
    stopwatch.mark();
  }
  const std::vector<double> laps = stopwatch.take_laps_us();
  return *std::min_element(laps.begin(), laps.end());
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

double measure_read_gbps(ThreadPool& pool) {
  constexpr std::int64_t kChunks = 256;
  constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
  constexpr int kPasses = 4;
  const Buffer memory = allocate_host(kChunks * kChunkBytes, "memory to measure its bandwidth");
  // Untouched pages all map to the shared zero page, which stays in cache.
  std::memset(memory.data(), 1, memory.size_bytes());
  std::atomic<std::uint64_t> sum = 0;
  const auto read_all = [&] {
    pool.parallel_for(kChunks, [&](std::int64_t chunk, int) {
      sum += sum_words(memory.data() + chunk * static_cast<std::int64_t>(kChunkBytes), kChunkBytes);
    });
  };
  return static_cast<double>(memory.size_bytes()) / best_lap_us(kPasses, read_all) / 1e3;
}

double measure_product_tflops(DType dtype, ThreadPool& pool) {
  const int threads = pool.num_threads();
  constexpr std::int64_t kRows = 256;
  constexpr std::int64_t kInFeatures = 1024;
  constexpr std::int64_t kOutFeaturesPerThread = 480;
  constexpr int kPasses = 5;
  const std::int64_t out_features = threads * kOutFeaturesPerThread;
  const WeightFormat format = {.stored = dtype};
  const Buffer in =
      allocate_host(kRows * kInFeatures * sizeof(float), "activations of the measured GEMM");
  const Buffer values = allocate_host(storage_bytes(format, {out_features, kInFeatures}),
                                      "weight of the measured GEMM");
  const Buffer out = allocate_host(static_cast<std::size_t>(kRows * out_features) * sizeof(float),
                                   "output of the measured GEMM");
  fill_random({.count = kRows * kInFeatures, .scale = 0x1p-7f}, DType::float32, in.data());
  fill_random({.key = 1, .count = out_features * kInFeatures, .scale = 0x1p-10f}, dtype,
              values.data());

  const Weight weight =
      row_major_weight(format, {out_features, kInFeatures}, values.data(), Device{});
  Projection projection;
  projection.in = {in.data(), kRows, kInFeatures, kInFeatures, DType::float32, Device{}};
  projection.weight = &weight;
  projection.out = {out.data(), kRows, out_features, out_features, DType::float32, Device{}};
  Workspace plan;
  take_projection_scratch(plan, kRows, kInFeatures, {}, threads);
  const Buffer scratch_memory = allocate_host(plan.used_bytes(), "scratch of the measured GEMM");
  Workspace workspace(scratch_memory.bytes());
  const auto scratch = take_projection_scratch(workspace, kRows, kInFeatures, {}, threads);

  const double flops = 2.0 * kRows * kInFeatures * static_cast<double>(out_features);
  return flops / best_lap_us(kPasses, [&] { project(projection, scratch, pool); }) / 1e6;
}

}  // namespace quern::cpu
