#include "backend/cuda/stream/measure.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "backend/cuda/stream/check_cuda.h"
#include "base/check.h"
#include "kernels/memory/measure.h"

namespace quern::cuda {
namespace {

/// Owns an event with timing.
class TimedEvent {
 public:
  TimedEvent() { check_cuda(cudaEventCreate(&event_), "cudaEventCreate"); }
  TimedEvent(TimedEvent&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  TimedEvent& operator=(TimedEvent&&) = delete;
  ~TimedEvent() {
    if (event_ != nullptr) static_cast<void>(cudaEventDestroy(event_));
  }

  void record(const Stream& stream) {
    check_cuda(cudaEventRecord(event_, stream.get()), "cudaEventRecord");
  }
  double us_until(const TimedEvent& later) const {
    float ms = 0;
    check_cuda(cudaEventElapsedTime(&ms, event_, later.event_), "cudaEventElapsedTime");
    return ms * 1e3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class EventStopwatch final : public Stopwatch {
 public:
  explicit EventStopwatch(const Stream& stream) : stream_(stream) {}

  void start(int num_marks) override {
    // Launching takes the host a few microseconds per mark; the device starts when it is done.
    constexpr std::int64_t kUsPerMark = 15;
    constexpr std::int64_t kMaxUs = 20'000;
    kernels::hold(std::min(kMaxUs, kUsPerMark * num_marks), stream_.get());
    num_marks_ = 0;
    mark();
  }

  void mark() override {
    if (num_marks_ == events_.size()) events_.emplace_back();
    events_[num_marks_++].record(stream_);
  }

  std::vector<double> take_laps_us() override {
    stream_.synchronize();
    std::vector<double> laps;
    for (std::size_t i = 1; i < num_marks_; ++i) {
      laps.push_back(events_[i - 1].us_until(events_[i]));
    }
    num_marks_ = 0;
    return laps;
  }

 private:
  const Stream& stream_;
  std::vector<TimedEvent> events_;
  std::size_t num_marks_ = 0;
};

}  // namespace

std::unique_ptr<Stopwatch> make_stopwatch(const Stream& stream) {
  return std::make_unique<EventStopwatch>(stream);
}

double measure_read_gbps(std::span<const std::byte> memory, std::uint32_t* scratch,
                         int num_multiprocessors, const Stream& stream) {
  constexpr int kPasses = 6;
  kernels::ReadPassParams params;
  params.data = memory.data();
  params.num_words = static_cast<std::int64_t>(memory.size() / 16);
  params.out = scratch;
  params.num_multiprocessors = num_multiprocessors;
  EventStopwatch stopwatch(stream);
  stopwatch.start(kPasses);
  for (int i = 0; i < kPasses; ++i) {
    kernels::read_pass(params, stream.get());
    stopwatch.mark();
  }
  const std::vector<double> laps = stopwatch.take_laps_us();
  const double best_us = *std::min_element(laps.begin(), laps.end());
  return static_cast<double>(params.num_words * 16) / best_us / 1e3;
}

MeasuredProduct product_to_measure(DType dtype, std::uint64_t available_bytes) {
  constexpr std::int64_t kEnough = 8192;
  constexpr std::int64_t kLeast = 1024;
  MeasuredProduct product{dtype, kEnough};
  while (product.size > kLeast && product.memory_bytes() > available_bytes) product.size /= 2;
  return product;
}

double measure_product_tflops(const MeasuredProduct& product, std::span<std::byte> memory,
                              CublasLt& library, const Stream& stream) {
  constexpr int kPasses = 5;
  QUERN_CHECK(memory.size() >= product.memory_bytes());
  std::byte* next = memory.data();
  const auto take = [&](std::size_t size_bytes) { return std::exchange(next, next + size_bytes); };
  MatrixProduct call;
  call.dtype = call.out_dtype = product.dtype;
  call.num_rows = call.in_features = call.out_features = product.size;
  call.in = take(product.matrix_bytes());
  call.weight = take(product.matrix_bytes());
  call.out = take(product.matrix_bytes());
  const std::span<std::byte> workspace{next, CublasLt::kWorkspaceBytes};
  const auto multiply = [&] { library.multiply(call, workspace, stream.get()); };
  multiply();  // warm-up: loads the library and selects its algorithm
  EventStopwatch stopwatch(stream);
  stopwatch.start(kPasses);
  for (int i = 0; i < kPasses; ++i) {
    multiply();
    stopwatch.mark();
  }
  const std::vector<double> laps = stopwatch.take_laps_us();
  const double size = static_cast<double>(product.size);
  return 2 * size * size * size / *std::min_element(laps.begin(), laps.end()) / 1e6;
}

}  // namespace quern::cuda
