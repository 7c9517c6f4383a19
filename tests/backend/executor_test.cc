#include "backend/executor.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

/// Logs what it is asked to run; Linear fails.
class RecordingBackend final : public Backend {
 public:
  std::string_view name() const override { return "recording"; }
  Device device() const override { return {}; }
  void run(const Embed&, const Step&) override { calls.emplace_back("Embed"); }
  void run(const NormLinear&, const Step&) override { calls.emplace_back("NormLinear"); }
  void run(const Attention&, const Step&) override { calls.emplace_back("Attention"); }
  void run(const Linear&, const Step&) override { throw Error(ErrorCode::device, "out of breath"); }
  void run(const AllReduce&, const Step&) override { calls.emplace_back("AllReduce"); }
  void run(const AllGather&, const Step&) override { calls.emplace_back("AllGather"); }
  void run(const Sample&, const Step&) override { calls.emplace_back("Sample"); }
  void run(const Advance&, const Step&) override { calls.emplace_back("Advance"); }
  void check(const Op& op, const Graph&, const Limits& limits) const override {
    if (std::holds_alternative<Attention>(op) && limits.max_seqs > 4) {
      throw Error(ErrorCode::unsupported, "max_seqs: expected at most 4");
    }
  }
  std::size_t workspace_bytes(const Op& op, const Graph&, const Limits& limits) const override {
    return static_cast<std::size_t>(op.index()) * static_cast<std::size_t>(limits.max_seqs);
  }
  std::uint64_t available_bytes() const override { return 0; }
  Buffer allocate(std::size_t, const char*) override { return {}; }
  Buffer allocate_shared(std::size_t, const char*) override { return {}; }
  void copy_in(void*, const void*, std::size_t) override {}
  void copy_out(void*, const void*, std::size_t) override {}
  void copy_blocks(const KvCacheView&, std::span<const BlockCopy>) override {}
  void write_now(std::int32_t*, std::int32_t) override {}
  void wait() override {}
  bool wait_until(const std::int64_t*, std::int64_t, std::chrono::milliseconds,
                  const std::function<void()>&) override {
    return false;
  }
  std::uint64_t num_waits() const override { return 0; }
  std::uint64_t peak_memory_bytes() const override { return 0; }
  WeightLayout prepare(const WeightFormat&, WeightUse) const override {
    return WeightLayout::row_major;
  }
  Weight upload(const WeightSource& source, WeightLayout, std::byte* destination) override {
    return row_major_weight(source.format, source.shape, destination, device());
  }
  void fill_random(const RandomRun&, DType, std::byte*) override {}
  std::unique_ptr<Stopwatch> make_stopwatch() override { return nullptr; }
  double measure_read_gbps() override { return 0; }
  double measure_product_tflops(DType) override { return 0; }
  std::unique_ptr<Recording> record(std::span<const Node>, const Step&, RecordedLoop) override {
    return nullptr;
  }
  std::size_t recording_bytes(std::span<const Node>, RecordedLoop) const override { return 0; }
  std::string device_loop_obstacle() const override { return "none"; }

  std::vector<std::string> calls;
};

TEST(Executor, RunsEveryNodeInOrderAndTellsTheObserver) {
  Graph graph;
  graph.nodes = {{Embed{}, "embed"},      {NormLinear{}, "qkv"},   {Attention{}, "attention"},
                 {AllReduce{}, "reduce"}, {AllGather{}, "gather"}, {Sample{}, "sample"},
                 {Advance{}, "advance"}};
  RecordingBackend backend;
  std::vector<std::string> seen;
  execute(backend, graph.nodes, {},
          [&](const Node& node, bool done) { seen.push_back(node.name + (done ? " done" : "")); });
  EXPECT_EQ(backend.calls,
            (std::vector<std::string>{"Embed", "NormLinear", "Attention", "AllReduce", "AllGather",
                                      "Sample", "Advance"}));
  ASSERT_EQ(seen.size(), 14u);
  EXPECT_EQ(seen[0], "embed");
  EXPECT_EQ(seen[1], "embed done");
  EXPECT_EQ(seen[13], "advance done");
}

TEST(Executor, AnErrorNamesItsNodeAndKeepsItsCode) {
  Graph graph;
  graph.nodes = {{Embed{}, "embed"}, {Linear{}, "layers.3.down"}, {Advance{}, "advance"}};
  RecordingBackend backend;
  EXPECT_QUERN_ERROR(ErrorCode::device, ({"layers.3.down", "out of breath"}),
                     execute(backend, graph.nodes, {}));
  EXPECT_EQ(backend.calls, std::vector<std::string>{"Embed"});
}

TEST(Executor, WhatIsRefusedAtLoadNamesItsNode) {
  Graph graph;
  graph.nodes = {{Embed{}, "embed"}, {Attention{}, "layers.0.attention"}, {Advance{}, "advance"}};
  const RecordingBackend backend;
  Limits limits;
  limits.max_seqs = 4;
  check_support(backend, graph, limits);
  limits.max_seqs = 5;
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"layers.0.attention", "at most 4"}),
                     check_support(backend, graph, limits));
}

TEST(Executor, WorkspaceIsThatOfTheHungriestNode) {
  Graph graph;
  const RecordingBackend backend;
  Limits limits;
  limits.max_seqs = 10;
  EXPECT_EQ(workspace_bytes(backend, graph, limits), 0u);
  graph.nodes = {{Sample{}, "a"}, {Attention{}, "b"}};
  EXPECT_EQ(workspace_bytes(backend, graph, limits), Op(Sample{}).index() * 10);
}

}  // namespace
}  // namespace quern
