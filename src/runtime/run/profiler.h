#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "graph/graph.h"
#include "graph/step.h"
#include "quern/benchmark.h"

namespace quern {

/// Runs steps node by node and sums up the time of each kind of node.
class Profiler {
 public:
  /// Measures the device's bandwidth. Both arguments must outlive this.
  Profiler(Backend& backend, const Graph& graph);

  /// Runs the graph's nodes and waits for them. A phase's first step runs an extra time as warm-up:
  /// lazy loading of kernels is not measured.
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

/// The kind of a node over all layers: "layers.3.qkv" is a "qkv".
std::string node_kind(const std::string& node_name);

}  // namespace quern
