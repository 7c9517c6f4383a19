#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "backend/cpu/cpu_backend.h"
#include "base/check.h"

namespace quern::bench {

/// A device that takes no time: it computes nothing and samples the same token again and again, so
/// that what is left of a step is the host's work. It behaves as a GPU does: the host runs ahead of
/// it and replays recordings.
class InstantBackend final : public Backend {
 public:
  explicit InstantBackend(std::int32_t token_id) : cpu_(make_cpu_backend(1)), token_id_(token_id) {}

  std::string_view name() const override { return "instant"; }
  Device device() const override { return cpu_->device(); }
  bool is_asynchronous() const override { return true; }

  void run(const Embed&, const Step&) override {}
  void run(const NormLinear&, const Step&) override {}
  void run(const Attention&, const Step&) override {}
  void run(const Linear&, const Step&) override {}
  void run(const AllReduce&, const Step&) override {}
  void run(const AllGather&, const Step&) override {}
  void run(const Sample&, const Step& step) override {
    for (int i = 0; i < step.batch.num_logit_rows; ++i) {
      const int seq = step.batch.logit_seqs[i];
      if (step.is_running(seq)) step.state.last_token[step.batch.state_index[seq]] = token_id_;
    }
  }
  void run(const Advance& op, const Step& step) override { cpu_->run(op, step); }
  std::size_t workspace_bytes(const Op&, const Graph&, const Limits&) const override { return 0; }

  std::uint64_t available_bytes() const override { return cpu_->available_bytes(); }
  std::uint64_t peak_memory_bytes() const override { return cpu_->peak_memory_bytes(); }
  Buffer allocate(std::size_t size_bytes, const char* what) override {
    return cpu_->allocate(size_bytes, what);
  }
  Buffer allocate_shared(std::size_t size_bytes, const char* what) override {
    return cpu_->allocate_shared(size_bytes, what);
  }
  void copy_in(void* destination, const void* source, std::size_t size_bytes) override {
    if (size_bytes > 0) std::memcpy(destination, source, size_bytes);
  }
  void copy_out(void* destination, const void* source, std::size_t size_bytes) override {
    cpu_->copy_out(destination, source, size_bytes);
  }
  void write_now(std::int32_t* word, std::int32_t value) override { *word = value; }
  void copy_blocks(const KvCacheView&, std::span<const BlockCopy>) override {}

  void wait() override { ++num_waits_; }
  bool wait_until(const std::int64_t* word, std::int64_t value,
                  std::chrono::milliseconds /*patience*/,
                  const std::function<void()>& /*meanwhile*/) override {
    return *word >= value;
  }
  std::uint64_t num_waits() const override { return num_waits_; }

  WeightLayout prepare(const WeightFormat& format, WeightUse use) const override {
    return cpu_->prepare(format, use);
  }
  Weight upload(const WeightSource& source, WeightLayout layout, std::byte* destination) override {
    return cpu_->upload(source, layout, destination);
  }
  void fill_random(const RandomRun&, DType, std::byte*) override {}
  std::unique_ptr<Stopwatch> make_stopwatch() override { return cpu_->make_stopwatch(); }
  double measure_read_gbps() override { return cpu_->measure_read_gbps(); }
  double measure_product_tflops(DType dtype) override {
    return cpu_->measure_product_tflops(dtype);
  }

  std::unique_ptr<Recording> record(std::span<const Node> nodes, const Step& step,
                                    RecordedLoop /*loop*/) override {
    return std::make_unique<InstantRecording>(*this, nodes, step);
  }
  std::size_t recording_bytes(std::span<const Node>, RecordedLoop) const override { return 0; }
  std::string device_loop_obstacle() const override { return "it has none"; }

 private:
  class InstantRecording final : public Recording {
   public:
    InstantRecording(InstantBackend& backend, std::span<const Node> nodes, const Step& step)
        : backend_(backend), nodes_(nodes.last(2)), step_(step) {}
    void replay(int times) override {
      for (int i = 0; i < times; ++i) {
        for (const Node& node : nodes_) {
          std::visit([this](const auto& op) { backend_.run(op, step_); }, node.op);
        }
      }
    }
    LaunchCounts counts() const override { return {}; }

   private:
    InstantBackend& backend_;
    std::span<const Node> nodes_;  ///< Sample and Advance
    Step step_;
  };

  std::unique_ptr<Backend> cpu_;
  std::int32_t token_id_;
  std::uint64_t num_waits_ = 0;
};

}  // namespace quern::bench
