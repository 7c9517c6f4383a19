#pragma once

#include <cstddef>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "base/check.h"

namespace quern::testing {

/// How far the device of a DeferredBackend is behind the host.
enum class Lag {
  none,    ///< work is done as soon as it is launched
  full,    ///< only when the host waits for it
  random,  ///< now and then
};

/// The CPU behaving as a GPU does: work is queued and done later, in order; the host waits for it.
/// It records, and where it may it runs device loops, which see write_now() between two steps.
class DeferredBackend final : public Backend {
 public:
  DeferredBackend(Lag lag, bool device_loops, std::uint32_t seed)
      : cpu_(make_cpu_backend(1)), lag_(lag), device_loops_(device_loops), random_(seed) {}

  std::string_view name() const override { return "deferred"; }
  Device device() const override { return cpu_->device(); }
  bool is_asynchronous() const override { return true; }

  void run(const Embed& op, const Step& step) override { queue_op(op, step); }
  void run(const NormLinear& op, const Step& step) override { queue_op(op, step); }
  void run(const Attention& op, const Step& step) override { queue_op(op, step); }
  void run(const Linear& op, const Step& step) override { queue_op(op, step); }
  void run(const AllReduce& op, const Step& step) override { queue_op(op, step); }
  void run(const AllGather& op, const Step& step) override { queue_op(op, step); }
  void run(const Sample& op, const Step& step) override { queue_op(op, step); }
  void run(const Advance& op, const Step& step) override { queue_op(op, step); }
  void check(const Op& op, const Graph& graph, const Limits& limits) const override {
    cpu_->check(op, graph, limits);
  }
  std::size_t workspace_bytes(const Op& op, const Graph& graph,
                              const Limits& limits) const override {
    return cpu_->workspace_bytes(op, graph, limits);
  }

  std::uint64_t available_bytes() const override { return cpu_->available_bytes(); }
  std::uint64_t peak_memory_bytes() const override { return cpu_->peak_memory_bytes(); }
  Buffer allocate(std::size_t size_bytes, const char* what) override {
    return cpu_->allocate(size_bytes, what);
  }
  Buffer allocate_shared(std::size_t size_bytes, const char* what) override {
    return cpu_->allocate_shared(size_bytes, what);
  }
  void copy_in(void* destination, const void* source, std::size_t size_bytes) override {
    const auto* bytes = static_cast<const std::byte*>(source);
    std::vector<std::byte> staged(bytes, bytes + size_bytes);
    queue([destination, staged = std::move(staged)] {
      if (!staged.empty()) std::memcpy(destination, staged.data(), staged.size());
      return false;
    });
  }
  void copy_out(void* destination, const void* source, std::size_t size_bytes) override {
    wait();
    bytes_copied_out_ += size_bytes;
    cpu_->copy_out(destination, source, size_bytes);
  }
  void write_now(std::int32_t* word, std::int32_t value) override { *word = value; }
  void copy_blocks(const KvCacheView& cache, std::span<const BlockCopy> copies) override {
    wait();
    cpu_->copy_blocks(cache, copies);
  }

  void wait() override {
    while (!queue_.empty()) do_one();
    ++num_waits_;
  }
  bool wait_until(const std::int64_t* word, std::int64_t value,
                  std::chrono::milliseconds /*patience*/,
                  const std::function<void()>& meanwhile) override {
    while (*word < value && !queue_.empty()) {
      if (meanwhile) meanwhile();
      do_one();
    }
    do_some();
    return *word >= value;
  }
  std::uint64_t num_waits() const override { return num_waits_; }
  std::uint64_t bytes_copied_out() const { return bytes_copied_out_; }

  WeightLayout prepare(const WeightFormat& format, WeightUse use) const override {
    return cpu_->prepare(format, use);
  }
  Weight upload(const WeightSource& source, WeightLayout layout, std::byte* destination) override {
    return cpu_->upload(source, layout, destination);
  }
  void fill_random(const RandomRun& run, DType dtype, std::byte* weight) override {
    cpu_->fill_random(run, dtype, weight);
  }
  std::unique_ptr<Stopwatch> make_stopwatch() override { return cpu_->make_stopwatch(); }
  double measure_read_gbps() override { return cpu_->measure_read_gbps(); }
  double measure_product_tflops(DType dtype) override {
    return cpu_->measure_product_tflops(dtype);
  }

  std::unique_ptr<Recording> record(std::span<const Node> nodes, const Step& step,
                                    RecordedLoop loop) override {
    return std::make_unique<DeferredRecording>(*this, nodes, step, loop);
  }
  std::size_t recording_bytes(std::span<const Node>, RecordedLoop) const override { return 0; }
  std::string device_loop_obstacle() const override {
    return device_loops_ ? "" : "this one is to have none";
  }

 private:
  /// Does a piece of work; true when it is to be done again before what is behind it.
  using Work = std::function<bool()>;

  class DeferredRecording final : public Recording {
   public:
    DeferredRecording(DeferredBackend& backend, std::span<const Node> nodes, const Step& step,
                      RecordedLoop loop)
        : backend_(backend), nodes_(nodes), step_(step), loop_(loop) {}
    void replay(int times) override {
      for (int i = 0; i < times; ++i) {
        backend_.queue([this] {
          for (const Node& node : nodes_) {
            std::visit([this](const auto& op) { backend_.cpu_->run(op, step_); }, node.op);
          }
          return loop_ == RecordedLoop::device && goes_on();
        });
      }
    }
    LaunchCounts counts() const override { return {}; }

   private:
    /// As Advance decides on a GPU.
    bool goes_on() const {
      int running = 0;
      for (int seq = 0; seq < step_.batch.num_seqs; ++seq) running += step_.is_running(seq) ? 1 : 0;
      LoopControl& control = *step_.loop;
      return --control.steps_left > 0 && running > control.stop_at_running &&
             control.stop_requested == 0;
    }

    DeferredBackend& backend_;
    std::span<const Node> nodes_;
    Step step_;
    RecordedLoop loop_;
  };

  template <typename AnyOp>
  void queue_op(const AnyOp& op, const Step& step) {
    queue([this, op, step] {
      cpu_->run(op, step);
      return false;
    });
  }
  void queue(Work work) {
    queue_.push_back(std::move(work));
    do_some();
  }
  void do_one() {
    // Of a loop's turns the next begins when the one before it is done.
    if (!queue_.front()()) queue_.pop_front();
  }
  /// What a device does meanwhile.
  void do_some() {
    if (lag_ == Lag::full) return;
    for (int i = 0; i < kManyTurns && !queue_.empty(); ++i) {
      if (lag_ == Lag::random && random_() % 3 == 0) return;
      do_one();
    }
  }
  static constexpr int kManyTurns = 1000;

  std::unique_ptr<Backend> cpu_;
  Lag lag_;
  bool device_loops_;
  std::mt19937 random_;
  std::deque<Work> queue_;
  std::uint64_t num_waits_ = 0;
  std::uint64_t bytes_copied_out_ = 0;
};

}  // namespace quern::testing
