#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "graph/graph.h"
#include "graph/kv_format.h"
#include "graph/limits.h"

namespace quern {

/// The offset of each value in the activation arena. Values with disjoint lifetimes share memory.
struct ActivationPlan {
  std::vector<std::size_t> offsets;  ///< by ValueId, aligned to Arena::kAlignment
  std::size_t total_bytes = 0;
};

/// Plans the activations at the limits. Values of logit rows, and what these are chosen from, live
/// to the end of the step.
ActivationPlan plan_activations(const Graph& graph, const Limits& limits);

/// The KV geometry of the graph's Attention nodes.
KvGeometry kv_geometry(const Graph& graph);

}  // namespace quern
