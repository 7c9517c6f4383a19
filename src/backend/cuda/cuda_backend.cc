#include "backend/cuda/cuda_backend.h"

#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <cstring>

#include "backend/cuda/check_cuda.h"
#include "backend/cuda/cublaslt.h"
#include "backend/cuda/device_query.h"
#include "backend/cuda/measure.h"
#include "backend/cuda/memory.h"
#include "backend/cuda/ops.h"
#include "backend/cuda/recording.h"
#include "backend/cuda/stream.h"
#include "base/shared_word.h"
#include "graph/memory_plan.h"
#include "kernels/attention_prefill_sm90.h"
#include "kernels/common/dependent_launch.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/random_fill.h"

namespace quern {
namespace {

/// For the op with the most blocks that wait for each other: attention of many sequences and heads.
constexpr std::size_t kNumCounters = std::size_t{1} << 18;

/// The GPU of that index; it is the calling thread's from here on.
int select_device(int index) {
  cuda::check_cuda(cudaSetDevice(index), "cudaSetDevice");
  return index;
}

int num_multiprocessors(int device_index) {
  int count = 0;
  cuda::check_cuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device_index),
                   "cudaDeviceGetAttribute");
  return count;
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int device_index)
      : device_{DeviceKind::cuda, select_device(device_index)},
        staging_(stream_, device_),
        counters_(allocate((kNumCounters + 1) * sizeof(std::uint32_t), "counters")) {
    context_.stream = stream_.get();
    context_.num_multiprocessors = num_multiprocessors(device_index);
    context_.gemm_crossover = cuda::gemm_crossover(cuda::memory_bytes_per_clock(device_index));
    context_.counters = {reinterpret_cast<std::uint32_t*>(counters_.data()), kNumCounters};
    context_.sample_tickets = context_.counters.data() + kNumCounters;
    context_.cublaslt = &cublaslt_;
    launch([&] { context_.overlaps = kernels::supports_overlap(); });
    launch([&] { context_.sm90_attention = kernels::has_attention_prefill_sm90(); });
  }

  std::string_view name() const override { return "cuda"; }
  Device device() const override { return device_; }

  void run(const Embed& op, const Step& step) override {
    launch([&] { cuda::run_embed(op, step, context_); });
  }
  void run(const NormLinear& op, const Step& step) override {
    launch([&] { cuda::run_norm_linear(op, step, context_); });
  }
  void run(const Attention& op, const Step& step) override {
    launch([&] { cuda::run_attention(op, step, context_); });
  }
  void run(const Linear& op, const Step& step) override {
    launch([&] { cuda::run_linear(op, step, context_); });
  }
  void run(const AllReduce& op, const Step& step) override {
    launch([&] { cuda::run_copy(op.in, op.out, step, context_); });
  }
  void run(const AllGather& op, const Step& step) override {
    launch([&] { cuda::run_copy(op.in, op.out, step, context_); });
  }
  void run(const Sample& op, const Step& step) override {
    launch([&] { cuda::run_sample(op, step, context_); });
  }
  void run(const Advance& op, const Step& step) override {
    launch([&] { cuda::run_advance(op, step, context_); });
  }

  std::size_t workspace_bytes(const Op& op, const Graph& graph,
                              const Limits& limits) const override {
    if (const auto* norm_linear = std::get_if<NormLinear>(&op)) {
      return cuda::norm_linear_workspace_bytes(*norm_linear, graph, limits);
    }
    if (const auto* attention = std::get_if<Attention>(&op)) {
      return cuda::attention_workspace_bytes(*attention, graph, limits);
    }
    if (const auto* linear = std::get_if<Linear>(&op)) {
      return cuda::linear_workspace_bytes(*linear, graph, limits);
    }
    if (const auto* sample = std::get_if<Sample>(&op)) {
      return cuda::sample_workspace_bytes(*sample, graph, limits);
    }
    return 0;
  }

  std::uint64_t available_bytes() const override {
    select_device(device_.index);
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    cuda::check_cuda(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
    return free_bytes;
  }

  Buffer allocate(std::size_t size_bytes, const char* what) override {
    select_device(device_.index);
    return cuda::allocate_device(size_bytes, what, device_, stream_);
  }

  Buffer allocate_shared(std::size_t size_bytes, const char* what) override {
    select_device(device_.index);
    Buffer buffer = cuda::allocate_pinned(size_bytes, what);
    std::memset(buffer.data(), 0, size_bytes);
    return buffer;
  }

  void copy_in(void* device_destination, const void* host_source, std::size_t size_bytes) override {
    select_device(device_.index);
    staging_.copy(device_destination, host_source, size_bytes);
  }

  void copy_out(void* host_destination, const void* device_source,
                std::size_t size_bytes) override {
    select_device(device_.index);
    refuse_in_recording("copy_out");
    if (size_bytes > 0) {
      cuda::check_cuda(cudaMemcpyAsync(host_destination, device_source, size_bytes,
                                       cudaMemcpyDeviceToHost, stream_.get()),
                       "cudaMemcpyAsync");
    }
    stream_.synchronize();
  }

  void write_now(std::int32_t* device_word, std::int32_t value) override {
    select_device(device_.index);
    // A copy from memory that is not pinned takes the value before it returns.
    cuda::check_cuda(cudaMemcpyAsync(device_word, &value, sizeof(value), cudaMemcpyHostToDevice,
                                     side_stream_.get()),
                     "cudaMemcpyAsync");
  }

  void wait() override { stream_.synchronize(); }

  bool wait_until(const std::int64_t* shared_word, std::int64_t value) override {
    // Reading is cheap; asking the driver, who also tells of errors, is not.
    constexpr int kReadsPerQuery = 1000;
    const auto reached = [&] { return read_shared(shared_word) >= value; };
    for (;;) {
      for (int i = 0; i < kReadsPerQuery; ++i) {
        if (reached()) return true;
      }
      if (!stream_.idle() || reached()) continue;
      stream_.count_wait();
      return false;
    }
  }

  std::uint64_t num_waits() const override { return stream_.num_waits(); }

  std::uint64_t peak_memory_bytes() const override {
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    if (cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess) {
      peak_memory_bytes_ = std::max<std::uint64_t>(peak_memory_bytes_, total_bytes - free_bytes);
    }
    return peak_memory_bytes_;
  }

  std::size_t upload_bytes(const WeightSpec& spec, DType stored) const override {
    return weight_bytes(spec, stored);
  }

  Weight upload(const WeightSource& source, std::byte* destination) override {
    QUERN_CHECK(source.use != WeightUse::vector || source.stored == DType::float32);
    select_device(device_.index);
    staging_.copy_rows(destination, source);
    return plain_weight(source, destination, device_);
  }

  void fill_random(const RandomRun& run, DType dtype, std::byte* weight) override {
    kernels::RandomFillParams params;
    params.weight = weight;
    params.dtype = dtype;
    params.key = run.key;
    params.first = run.first;
    params.source = run.source;
    params.stride = run.stride;
    params.count = run.count;
    params.offset = run.offset;
    params.scale = run.scale;
    params.bits = run.bits;
    launch([&] { kernels::random_fill(params, stream_.get()); });
  }

  void push_range(const char* name) override { nvtxRangePushA(name); }
  void pop_range() override { nvtxRangePop(); }

  std::unique_ptr<Stopwatch> make_stopwatch() override {
    select_device(device_.index);
    return cuda::make_stopwatch(stream_);
  }

  double measure_read_gbps() override {
    constexpr std::uint64_t kEnough = std::uint64_t{1} << 30;  // many times any cache
    const Buffer memory =
        allocate(std::min(kEnough, available_bytes() / 2), "memory to measure its bandwidth");
    double gbps = 0;
    launch([&] {
      gbps = cuda::measure_read_gbps(memory.bytes(), context_.take_counters(1),
                                     context_.num_multiprocessors, stream_);
    });
    return gbps;
  }

  double measure_product_tflops(DType dtype) override {
    const auto product = cuda::product_to_measure(dtype, available_bytes() / 2);
    const Buffer memory = allocate(product.memory_bytes(), "a product to measure");
    // Zeros would draw less power than numbers do, and so run at higher clocks.
    const RandomRun factors{.count = 2 * product.size * product.size, .scale = 0x1p-10f};
    fill_random(factors, dtype, memory.data());
    double tflops = 0;
    launch([&] {
      tflops = cuda::measure_product_tflops(product, memory.bytes(), cublaslt_, stream_);
    });
    return tflops;
  }

  std::unique_ptr<Recording> record(std::function<void()> step, RecordedLoop loop) override {
    select_device(device_.index);
    return cuda::record_graph(stream_, context_, step, loop);
  }

  std::string device_loop_obstacle() const override { return cuda::device_loop_obstacle(); }

 private:
  /// A recording cannot wait for the device; asked to, CUDA spoils it and may crash on its end.
  void refuse_in_recording(const char* call) const {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cuda::check_cuda(cudaStreamIsCapturing(stream_.get(), &status), "cudaStreamIsCapturing");
    if (status != cudaStreamCaptureStatusNone) {
      fail(ErrorCode::device, "{}: expected no recording to be under way", call);
    }
  }

  /// Runs the host side of an op; what kernels throw, who do not know Error, becomes one.
  template <typename Body>
  void launch(const Body& body) {
    select_device(device_.index);
    try {
      body();
    } catch (const kernels::LaunchError& error) {
      throw Error(ErrorCode::device, error.what());
    } catch (const kernels::DispatchError& error) {
      throw Error(ErrorCode::internal, error.what());
    }
  }

  Device device_;
  cuda::Stream stream_;
  cuda::Stream side_stream_;  ///< for what does not wait for the work of the other
  cuda::StagingRing staging_;
  cuda::CublasLt cublaslt_;
  Buffer counters_;
  cuda::OpContext context_;
  mutable std::uint64_t peak_memory_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int device_index) {
  return std::make_unique<CudaBackend>(usable_gpu(query_cuda_driver(), device_index).index);
}

}  // namespace quern
