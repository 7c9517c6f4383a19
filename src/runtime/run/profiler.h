#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "graph/graph.h"
#include "graph/step.h"
#include "quern/benchmark.h"

namespace quern {

/// Runs steps node by node and sums up what each kind of node takes.
class Profiler {
 public:
  /// Measures the device's bandwidth. Both must outlive this.
  Profiler(Backend& backend, const Graph& graph);

  /// Runs the graph's nodes, and waits for them. A phase's first step runs once more before that:
  /// what is loaded on first use does not count.
  void run(const Step& step);
  Profile profile() const;

 private:
  struct Sums {
    std::uint64_t num_steps = 0;
    std::vector<NodeProfile> nodes;  ///< totals, not yet per step
  };
  static PhaseProfile average(const Sums& sums);

  Backend* backend_;
  const Graph* graph_;
  std::unique_ptr<Stopwatch> stopwatch_;
  double read_gbps_;
  Sums prefill_;
  Sums decode_;
};

/// What a node is in every layer: "layers.3.qkv" is a "qkv".
std::string node_kind(const std::string& node_name);

}  // namespace quern
