#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>

#include "backend/block_copies.h"
#include "backend/communicator.h"
#include "backend/cpu/measure.h"
#include "backend/cpu/ops/ops.h"
#include "backend/cpu/views.h"
#include "backend/executor.h"
#include "base/check.h"
#include "base/memory/shape.h"
#include "base/system/system.h"
#include "base/threads/thread_pool.h"

namespace quern {
namespace {

/// The CPU has nothing to record: it keeps the step and runs its nodes at each replay.
class CpuRecording final : public Recording {
 public:
  CpuRecording(Backend& backend, std::span<const Node> nodes, const Step& step)
      : backend_(backend), nodes_(nodes), step_(step) {}
  void replay(int times) override {
    for (int i = 0; i < times; ++i) execute(backend_, nodes_, step_);
  }
  LaunchCounts counts() const override { return {}; }

 private:
  Backend& backend_;
  std::span<const Node> nodes_;
  Step step_;
};

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(int threads) : pool_(threads) {}

  std::string_view name() const override { return "cpu"; }
  Device device() const override { return {}; }

  void run(const Embed& op, const Step& step) override { cpu::run_embed(op, step, pool_); }
  void run(const NormLinear& op, const Step& step) override {
    cpu::run_norm_linear(op, step, pool_);
  }
  void run(const Attention& op, const Step& step) override { cpu::run_attention(op, step, pool_); }
  void run(const Linear& op, const Step& step) override { cpu::run_linear(op, step, pool_); }
  void run(const AllReduce&, const Step&) override { fail_without_communicator("AllReduce"); }
  void run(const AllGather&, const Step&) override { fail_without_communicator("AllGather"); }
  void run(const Sample& op, const Step& step) override { cpu::run_sample(op, step, pool_); }
  void run(const Advance& op, const Step& step) override { cpu::run_advance(op, step); }

  std::size_t workspace_bytes(const Op& op, const Graph& graph,
                              const Limits& limits) const override {
    if (const auto* norm_linear = std::get_if<NormLinear>(&op)) {
      return cpu::norm_linear_workspace_bytes(*norm_linear, graph, limits, pool_.num_threads());
    }
    if (const auto* attention = std::get_if<Attention>(&op)) {
      return cpu::attention_workspace_bytes(*attention, limits, pool_.num_threads());
    }
    if (const auto* linear = std::get_if<Linear>(&op)) {
      return cpu::linear_workspace_bytes(*linear, graph, limits, pool_.num_threads());
    }
    if (const auto* sample = std::get_if<Sample>(&op)) {
      return cpu::sample_workspace_bytes(*sample, graph, pool_.num_threads());
    }
    return 0;
  }

  std::uint64_t available_bytes() const override { return available_host_memory(); }

  Buffer allocate(std::size_t size_bytes, const char* what) override {
    return allocate_host(size_bytes, what);
  }
  Buffer allocate_shared(std::size_t size_bytes, const char* what) override {
    return allocate_host(size_bytes, what);
  }
  void copy_in(void* device_destination, const void* host_source, std::size_t size_bytes) override {
    if (size_bytes > 0) std::memcpy(device_destination, host_source, size_bytes);
  }
  void copy_out(void* host_destination, const void* device_source,
                std::size_t size_bytes) override {
    if (size_bytes > 0) std::memcpy(host_destination, device_source, size_bytes);
  }

  void copy_blocks(const KvCacheView& cache, std::span<const BlockCopy> copies) override {
    check_block_copies(cache, copies);
    const KvBlockBytes bytes = cache.block_bytes();
    const auto copy_block = [](void* array, std::size_t block_bytes, std::int64_t source,
                               std::int64_t destination) {
      if (block_bytes == 0) return;
      auto* base = static_cast<std::byte*>(array);
      const auto stride = static_cast<std::int64_t>(block_bytes);
      std::memcpy(base + destination * stride, base + source * stride, block_bytes);
    };
    for (int layer = 0; layer < cache.num_layers; ++layer) {
      const std::int64_t first = layer * cache.num_blocks;
      for (const BlockCopy& copy : copies) {
        copy_block(cache.keys, bytes.keys, first + copy.source, first + copy.destination);
        copy_block(cache.values, bytes.values, first + copy.source, first + copy.destination);
        copy_block(cache.key_scales, bytes.key_scales, first + copy.source,
                   first + copy.destination);
        copy_block(cache.value_scales, bytes.value_scales, first + copy.source,
                   first + copy.destination);
      }
    }
  }

  void write_now(std::int32_t* device_word, std::int32_t value) override { *device_word = value; }
  // run() is synchronous: there is nothing to wait for.
  void wait() override {}
  bool wait_until(const std::int64_t* shared_word, std::int64_t value,
                  std::chrono::milliseconds /*patience*/,
                  const std::function<void()>& /*meanwhile*/) override {
    return *shared_word >= value;
  }
  std::uint64_t num_waits() const override { return 0; }
  std::uint64_t peak_memory_bytes() const override { return peak_resident_bytes(); }

  WeightLayout prepare(const WeightFormat& format, WeightUse use) const override {
    check_format(format, use);
    return WeightLayout::row_major;
  }

  Weight upload(const WeightSource& source, WeightLayout layout, std::byte* destination) override {
    QUERN_CHECK(layout == prepare(source.format, source.use));
    for (const ComponentPlace& place : component_places(source.format, source.shape, layout)) {
      read_component(source.reader(place.component), place, destination + place.offset);
    }
    return row_major_weight(source.format, source.shape, destination, device());
  }

  void fill_random(const RandomRun& run, DType dtype, std::byte* weight) override {
    constexpr std::int64_t kChunk = 1 << 20;
    pool_.parallel_for(ceil_div(run.count, kChunk), [&](std::int64_t chunk, int) {
      const std::int64_t begin = chunk * kChunk;
      quern::fill_random(run.part(begin, std::min(kChunk, run.count - begin)), dtype, weight);
    });
  }

  std::unique_ptr<Stopwatch> make_stopwatch() override {
    return std::make_unique<cpu::ClockStopwatch>();
  }
  double measure_read_gbps() override { return cpu::measure_read_gbps(pool_); }
  double measure_product_tflops(DType dtype) override {
    return cpu::measure_product_tflops(dtype, pool_);
  }

  std::unique_ptr<Recording> record(std::span<const Node> nodes, const Step& step,
                                    RecordedLoop loop) override {
    if (loop == RecordedLoop::device) fail(ErrorCode::unsupported, "{}", device_loop_obstacle());
    return std::make_unique<CpuRecording>(*this, nodes, step);
  }
  std::size_t recording_bytes(std::span<const Node>, RecordedLoop) const override { return 0; }
  std::string device_loop_obstacle() const override {
    return "the CPU is the host: it has no loop of its own";
  }

 private:
  void read_component(const RowReader& read, const ComponentPlace& place, std::byte* destination) {
    constexpr std::int64_t kChunkBytes = std::int64_t{1} << 20;
    const auto row_bytes = static_cast<std::int64_t>(place.row_bytes());
    const std::int64_t chunk_rows =
        std::max<std::int64_t>(kChunkBytes / std::max<std::int64_t>(row_bytes, 1), 1);
    pool_.parallel_for(ceil_div(place.rows, chunk_rows), [&](std::int64_t chunk, int) {
      const std::int64_t first = chunk * chunk_rows;
      read(first, std::min(chunk_rows, place.rows - first), destination + first * row_bytes);
    });
  }

  ThreadPool pool_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(int threads) {
  if (threads < 0)
    fail(ErrorCode::invalid_argument, "threads: expected 0 or more, got {}", threads);
  return std::make_unique<CpuBackend>(threads == 0 ? available_threads() : threads);
}

}  // namespace quern
