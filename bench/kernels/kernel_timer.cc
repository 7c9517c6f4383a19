#include "bench/kernels/kernel_timer.h"

#include <algorithm>
#include <vector>

#include "backend/cuda/driver/cublaslt.h"
#include "backend/cuda/recording/recording.h"
#include "backend/cuda/stream/check_cuda.h"
#include "backend/cuda/stream/memory.h"
#include "base/check.h"
#include "base/memory/shape.h"
#include "bench/kernels/bench_kernels.h"
#include "kernels/common/dependent_launch.h"

namespace quern::bench {
namespace {

using cuda::check_cuda;

constexpr std::int64_t kBytesPerGraph = std::int64_t{1} << 30;

/// An event with timing.
class TimedEvent {
 public:
  TimedEvent() { check_cuda(cudaEventCreate(&event_), "cudaEventCreate"); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;
  ~TimedEvent() { static_cast<void>(cudaEventDestroy(event_)); }

  void record(const cuda::Stream& stream) {
    check_cuda(cudaEventRecord(event_, stream.get()), "cudaEventRecord");
  }
  double us_since(const TimedEvent& begin) const {
    float ms = 0.0f;
    check_cuda(cudaEventElapsedTime(&ms, begin.event_, event_), "cudaEventElapsedTime");
    return 1e3 * static_cast<double>(ms);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

KernelTimer::KernelTimer() : use_pdl_(kernels::supports_pdl()) {
  check_cuda(cudaDeviceGetAttribute(&num_multiprocessors_, cudaDevAttrMultiProcessorCount, 0),
             "cudaDeviceGetAttribute");
}

double KernelTimer::time_us(int count, const std::function<void(int)>& launch) const {
  constexpr int kReplays = 5;
  const auto all = [&] {
    for (int i = 0; i < count; ++i) launch(i);
    return std::vector<Buffer>{};
  };
  cuda::CublasLt uncounted;
  cuda::OpContext context;
  context.stream = stream_.get();
  context.cublaslt = &uncounted;
  const auto graph = cuda::record_graph(stream_, context, all, RecordedLoop::host);
  graph->replay(1);
  std::vector<double> times;
  for (int i = 0; i < kReplays; ++i) {
    TimedEvent begin;
    TimedEvent end;
    begin.record(stream_);
    graph->replay(1);
    end.record(stream_);
    stream_.synchronize();
    times.push_back(end.us_since(begin) / count);
  }
  std::nth_element(times.begin(), times.begin() + kReplays / 2, times.end());
  return times[kReplays / 2];
}

Buffer KernelTimer::allocate(std::size_t size_bytes) const {
  return cuda::allocate_device(size_bytes, "benchmark", Device{DeviceKind::cuda, 0}, stream_);
}

ColdMemory::ColdMemory(const KernelTimer& timer, DType dtype, float scale)
    : memory_(timer.allocate(static_cast<std::size_t>(timer.cold_bytes()))) {
  FillParams params;
  params.dtype = dtype;
  params.data = memory_.data();
  params.count = size_bytes() / static_cast<std::int64_t>(dtype_bytes(dtype));
  params.scale = scale;
  fill_randomly(params, timer.stream().get());
}

const std::byte* ColdMemory::take(std::int64_t size_bytes) {
  QUERN_CHECK(size_bytes <= this->size_bytes());
  if (used_bytes_ + size_bytes > this->size_bytes()) used_bytes_ = 0;
  const std::byte* taken = memory_.data() + used_bytes_;
  used_bytes_ += static_cast<std::int64_t>(align_up(static_cast<std::size_t>(size_bytes), 256));
  return taken;
}

int ColdMemory::num_launches(std::int64_t size_bytes) {
  constexpr std::int64_t kFewest = 8;
  constexpr std::int64_t kMost = 128;
  return static_cast<int>(
      std::clamp(kBytesPerGraph / std::max<std::int64_t>(size_bytes, 1), kFewest, kMost));
}

}  // namespace quern::bench
