#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "graph/op.h"
#include "weights/source.h"

namespace quern {

/// A value: the output of a node, [rows, cols].
struct Value {
  Rows rows = Rows::tokens;
  std::int64_t cols = 0;
  DType dtype = DType::float32;
  std::string name;
};

struct Node {
  Op op;
  std::string name;  ///< "layers.3.attention"
};

/// A model as a list of nodes in execution order. Ids are indices, so a graph is copyable.
struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<WeightSpec> weights;
  DType activation_dtype = DType::float32;

  const Value& value(ValueId id) const { return values.at(static_cast<std::size_t>(id)); }
  const WeightSpec& weight(WeightId id) const { return weights.at(static_cast<std::size_t>(id)); }
};

/// The name of an op's kind in dumps and profiles: "NormLinear", "Attention", …
std::string_view op_name(const Op& op);

/// "[tokens, 192] float32".
std::string type_string(const Value& value);

/// The values that an op reads and writes, in declaration order.
std::vector<ValueId> op_inputs(const Op& op);
std::vector<ValueId> op_outputs(const Op& op);
std::vector<WeightId> op_weights(const Op& op);

/// Validates a graph: ids in range, every value written once and before it is read (so that no
/// output is an input), shapes and dtypes as op.h says, exactly one Embed, as the first node,
/// layers numbered from 0 with the same KV geometry, weights that are used and whose checkpoint
/// tensors fill them. Errors: internal, naming node and value.
void validate(const Graph& graph);

/// One line per node: name, kind, inputs -> outputs with shapes and dtypes, weights, and the op's
/// other attributes.
std::string dump(const Graph& graph);

}  // namespace quern
