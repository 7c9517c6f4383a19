#include "backend/cuda/cuda_backend.h"

#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "backend/block_copies.h"
#include "backend/cuda/driver/cublaslt.h"
#include "backend/cuda/driver/device_query.h"
#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/projection_kernels.h"
#include "backend/cuda/ops/rope_tables.h"
#include "backend/cuda/ops/rounded_projection.h"
#include "backend/cuda/recording/persistent_claim.h"
#include "backend/cuda/recording/recording.h"
#include "backend/cuda/recording/step_launches.h"
#include "backend/cuda/stream/check_cuda.h"
#include "backend/cuda/stream/measure.h"
#include "backend/cuda/stream/memory.h"
#include "backend/cuda/stream/stream.h"
#include "backend/executor.h"
#include "backend/progress_watchdog.h"
#include "base/memory/shared_word.h"
#include "kernels/attention/prefill/attention_prefill_sm90.h"
#include "kernels/common/dependent_launch.h"
#include "kernels/common/errors.h"
#include "kernels/gemm/sm90/gemm_sm90.h"
#include "kernels/memory/copy_blocks.h"
#include "kernels/memory/random_fill.h"
#include "kernels/quant/float8/float8_gemm.h"
#include "kernels/quant/random_quantize.h"
#include "kernels/quant/rounded/int8_gemm.h"
#include "weights/quant/quantize.h"
#include "weights/quant/tiles.h"

namespace quern {
namespace {

/// Counters for the op that needs the most: attention of many sequences and heads.
constexpr std::size_t kNumCounters = std::size_t{1} << 18;

/// Makes the GPU of that index the calling thread's current device.
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

kernels::RandomFillParams random_params(const RandomRun& run) {
  kernels::RandomFillParams params;
  params.key = run.key;
  params.first = run.first;
  params.source = run.source;
  params.stride = run.stride;
  params.count = run.count;
  params.offset = run.offset;
  params.scale = run.scale;
  params.bits = run.bits;
  return params;
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int device_index)
      : device_{DeviceKind::cuda, select_device(device_index)},
        staging_(stream_, device_),
        counters_(allocate((kNumCounters + 1) * sizeof(std::uint32_t), "counters")) {
    context_.stream = stream_.get();
    context_.num_multiprocessors = num_multiprocessors(device_index);
    context_.memory_bytes_per_clock = cuda::memory_bytes_per_clock(device_index);
    context_.gemm_crossover = cuda::gemm_crossover(context_.memory_bytes_per_clock);
    context_.counters = {reinterpret_cast<std::uint32_t*>(counters_.data()), kNumCounters};
    context_.sample_tickets = context_.counters.data() + kNumCounters;
    context_.cublaslt = cublaslt_.get();
    context_.rope_tables = rope_tables_.get();
    launch([&] { context_.use_pdl = kernels::supports_pdl(); });
    context_.persistent_steps = persistent_claim_.is_held();
    launch([&] { context_.sm90_attention = kernels::has_attention_prefill_sm90(); });
    launch([&] { context_.sm90_gemm = kernels::has_gemm_sm90(); });
    launch([&] { context_.sm90_int8_gemm = kernels::has_int8_gemm_sm90(); });
    launch([&] { context_.sm90_float8_gemm = kernels::has_float8_gemm_sm90(); });
    launch([&] { context_.float8_gemm_rows = cuda::most_float8_gemm_rows(); });
  }

  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;
  ~CudaBackend() override {
    // Destroying cuBLASLt's handle and freeing memory wait for the device, which is hung.
    if (!*stream_.hung()) return;
    static_cast<void>(cublaslt_.release());
    static_cast<void>(rope_tables_.release());
  }

  std::string_view name() const override { return "cuda"; }
  Device device() const override { return device_; }

  void run(const Embed& op, const Step& step) override { run_op(op, step, context_); }
  void run(const NormLinear& op, const Step& step) override { run_op(op, step, context_); }
  void run(const Attention& op, const Step& step) override { run_op(op, step, context_); }
  void run(const Linear& op, const Step& step) override { run_op(op, step, context_); }
  void run(const AllReduce& op, const Step& step) override { run_op(op, step, context_); }
  void run(const AllGather& op, const Step& step) override { run_op(op, step, context_); }
  void run(const Sample& op, const Step& step) override { run_op(op, step, context_); }
  void run(const Advance& op, const Step& step) override { run_op(op, step, context_); }

  void check(const Op& op, const Graph& graph, const Limits& limits) const override {
    if (const auto* attention = std::get_if<Attention>(&op)) {
      cuda::check_attention(*attention, graph, limits, context_);
      select_device(device_.index);
      if (attention->rope) rope_tables_->find(*attention->rope);  // now: no step shall allocate
    } else if (const auto* sample = std::get_if<Sample>(&op)) {
      cuda::check_sample(*sample, graph, limits, context_);
    }
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
    Buffer buffer = cuda::allocate_pinned(size_bytes, what, stream_);
    std::memset(buffer.data(), 0, size_bytes);
    return buffer;
  }

  void copy_in(void* device_destination, const void* host_source, std::size_t size_bytes) override {
    select_device(device_.index);
    stream_.check_not_hung();
    staging_.copy(device_destination, host_source, size_bytes);
  }

  void copy_out(void* host_destination, const void* device_source,
                std::size_t size_bytes) override {
    select_device(device_.index);
    if (size_bytes > 0) {
      cuda::check_cuda(cudaMemcpyAsync(host_destination, device_source, size_bytes,
                                       cudaMemcpyDeviceToHost, stream_.get()),
                       "cudaMemcpyAsync");
    }
    stream_.synchronize();
  }

  void copy_blocks(const KvCacheView& cache, std::span<const BlockCopy> copies) override {
    check_block_copies(cache, copies);
    kernels::CopyBlocksParams params;
    params.num_layers = cache.num_layers;
    params.num_blocks = cache.num_blocks;
    const KvBlockBytes block = cache.block_bytes();
    const auto copy_arrays = [&](void* keys, std::size_t key_bytes, void* values,
                                 std::size_t value_bytes) {
      params.keys = static_cast<std::byte*>(keys);
      params.values = static_cast<std::byte*>(values);
      params.key_block_bytes = static_cast<std::int64_t>(key_bytes);
      params.value_block_bytes = static_cast<std::int64_t>(value_bytes);
      launch([&] { kernels::copy_blocks(params, stream_.get()); });
    };
    while (!copies.empty()) {
      const auto some =
          copies.first(std::min<std::size_t>(copies.size(), std::size(params.copies)));
      std::transform(some.begin(), some.end(), params.copies, [](const BlockCopy& copy) {
        return kernels::BlockCopy{copy.source, copy.destination};
      });
      params.num_copies = static_cast<int>(some.size());
      copy_arrays(cache.keys, block.keys, cache.values, block.values);
      copy_arrays(cache.key_scales, block.key_scales, cache.value_scales, block.value_scales);
      copies = copies.subspan(some.size());
    }
  }

  void write_now(std::int32_t* device_word, std::int32_t value) override {
    stream_.check_not_hung();
    select_device(device_.index);
    // A copy from pageable memory takes the value before it returns.
    cuda::check_cuda(cudaMemcpyAsync(device_word, &value, sizeof(value), cudaMemcpyHostToDevice,
                                     side_stream_.get()),
                     "cudaMemcpyAsync");
  }

  bool is_asynchronous() const override { return true; }
  void wait() override { stream_.synchronize(); }

  bool wait_until(const std::int64_t* shared_word, std::int64_t value,
                  std::chrono::milliseconds patience,
                  const std::function<void()>& meanwhile) override {
    stream_.check_not_hung();
    // Polling the word is cheap; querying the driver, which also reports errors, is not.
    constexpr int kReadsPerQuery = 1000;
    ProgressWatchdog watchdog(patience);
    std::int64_t word = 0;
    const auto reached = [&] { return (word = read_shared(shared_word)) >= value; };
    for (;;) {
      for (int i = 0; i < kReadsPerQuery; ++i) {
        if (reached()) return true;
      }
      if (meanwhile) meanwhile();
      const bool idle = stream_.idle();
      if (reached()) return true;
      if (idle) {
        stream_.count_wait();
        return false;
      }
      if (watchdog.expired(word)) stream_.declare_hung(patience);
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

  WeightLayout prepare(const WeightFormat& format, WeightUse use) const override {
    check_format(format, use);
    if (use == WeightUse::vector) return WeightLayout::row_major;
    if (use == WeightUse::embedding && format.is_quantized()) {
      fail(ErrorCode::unsupported, "an embedding of {}: expected floats on CUDA",
           format_name(format));
    }
    return cuda::projection_layout(format);
  }

  Weight upload(const WeightSource& source, WeightLayout layout, std::byte* destination) override {
    QUERN_CHECK(layout == prepare(source.format, source.use));
    select_device(device_.index);
    if (layout == WeightLayout::tiles) {
      TilingReader reader(source);
      copy_components(reader.tiled(), layout, destination);
    } else {
      copy_components(source, layout, destination);
    }
    return view_weight(source.format, source.shape, layout, destination, device_);
  }

  void fill_random(const RandomRun& run, DType dtype, std::byte* weight) override {
    kernels::RandomFillParams params = random_params(run);
    params.weight = weight;
    params.dtype = dtype;
    launch([&] { kernels::random_fill(params, stream_.get()); });
  }

  void fill_random_quantized(const RandomRun& run, const Weight& weight,
                             std::string_view name) override {
    constexpr std::int64_t kGroup = kernels::kRandomQuantizeGroup;
    const WeightFormat& format = weight.format;
    const bool is_whole = run.first == 0 && run.stride == 1;
    const bool by_tile_row = format.group_size == 0 && format.stored == DType::float8_e4m3;
    const bool in_tiles = weight.layout == WeightLayout::tiles &&
                          (format.group_size == kGroup || by_tile_row) &&
                          weight.in_features % kGroup == 0;
    const bool by_row = weight.layout == WeightLayout::row_major && format.group_size == 0 &&
                        format.stored == DType::uint8;
    if (!is_whole || (!in_tiles && !by_row)) {
      return Backend::fill_random_quantized(run, weight, name);
    }
    QUERN_CHECK(format == load_time_format(format.stored, weight.in_features, format.activation));
    kernels::RandomQuantizeParams params;
    params.numbers = random_params(run);
    params.values = weight.values.row<std::uint8_t>(0);
    params.scales = weight.scales.data;
    params.stored = weight.format.stored;
    params.scale_dtype = weight.scales.dtype;
    params.weight_rows = weight.out_features;
    params.in_features = weight.in_features;
    params.by_row = by_tile_row;
    launch([&] {
      if (by_row) return kernels::random_quantize_rows(params, stream_.get());
      kernels::random_quantize(params, stream_.get());
    });
  }

  void push_range(const char* name) override { nvtxRangePushA(name); }
  void pop_range() override { nvtxRangePop(); }

  std::unique_ptr<Stopwatch> make_stopwatch() override {
    select_device(device_.index);
    return cuda::make_stopwatch(stream_);
  }

  double measure_read_gbps() override {
    constexpr std::uint64_t kEnough = std::uint64_t{1} << 30;  // many times the size of any cache
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
    // Zeros draw less power than random numbers, and so run at higher clocks.
    const RandomRun factors{.count = 2 * product.size * product.size, .scale = 0x1p-10f};
    fill_random(factors, dtype, memory.data());
    double tflops = 0;
    launch([&] {
      tflops = cuda::measure_product_tflops(product, memory.bytes(), *cublaslt_, stream_);
    });
    return tflops;
  }

  /// Captures the nodes' launches on a separate stream, so that copies and uploads on the backend's
  /// stream can continue.
  std::unique_ptr<Recording> record(std::span<const Node> nodes, const Step& step,
                                    RecordedLoop loop) override {
    select_device(device_.index);
    cuda::OpContext context = context_;
    context.stream = recording_stream_.get();
    const auto launch_all = [&] {
      // Not through staging_: weights may be uploaded meanwhile, by another thread.
      cuda::StepLaunches launches(step, context, device_, side_stream_);
      for_each_node(nodes, [&](const Node& node) { launch([&] { launches.add(node.op); }); });
      launch([&] { launches.finish(); });
      return launches.take_memory();
    };
    return cuda::record_graph(stream_, context, launch_all, loop);
  }

  std::size_t recording_bytes(std::span<const Node> nodes, RecordedLoop loop) const override {
    return cuda::recording_bytes(nodes.size(), loop);
  }

  std::string device_loop_obstacle() const override { return cuda::device_loop_obstacle(); }

 private:
  void copy_components(const WeightSource& source, WeightLayout layout, std::byte* destination) {
    for (const ComponentPlace& place : component_places(source.format, source.shape, layout)) {
      staging_.copy_rows(destination + place.offset, place, source.reader(place.component));
    }
  }

  template <typename AnyOp>
  void run_op(const AnyOp& op, const Step& step, const cuda::OpContext& context) {
    launch([&] { cuda::run_op(op, step, context); });
  }

  /// Runs the host side of an op and converts exceptions of the kernel library to Error.
  template <typename Body>
  void launch(const Body& body) {
    stream_.check_not_hung();
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
  cuda::Stream side_stream_;  ///< for work that is independent of the main stream
  cuda::Stream recording_stream_;
  cuda::PersistentClaim persistent_claim_{device_.index};
  cuda::StagingRing staging_;
  std::unique_ptr<cuda::CublasLt> cublaslt_ = std::make_unique<cuda::CublasLt>();
  Buffer counters_;
  std::unique_ptr<cuda::RopeTables> rope_tables_ = std::make_unique<cuda::RopeTables>(device_);
  cuda::OpContext context_;
  mutable std::uint64_t peak_memory_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int device_index) {
  return std::make_unique<CudaBackend>(usable_gpu(query_cuda_driver(), device_index).index);
}

}  // namespace quern
