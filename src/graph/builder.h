#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "graph/graph.h"

namespace quern {

/// Builds a graph node by node in execution order. Names are for dumps, profiles and errors; the
/// architectures use "embed", "layers.3.qkv", "layers.3.attention", "layers.3.attention_out",
/// "layers.3.gate_up" (or "up"), "layers.3.down", "lm_head".
class GraphBuilder {
 public:
  /// `activation_dtype` is float32, float16 or bfloat16.
  explicit GraphBuilder(DType activation_dtype) { graph_.activation_dtype = activation_dtype; }

  DType activation_dtype() const { return graph_.activation_dtype; }

  ValueId value(std::string name, std::int64_t cols, DType dtype, Rows rows = Rows::tokens);
  WeightId weight(WeightSpec spec);
  void node(std::string name, Op op);

  /// The finished graph, validated. Errors: as validate().
  Graph finish() &&;

 private:
  Graph graph_;
};

}  // namespace quern
