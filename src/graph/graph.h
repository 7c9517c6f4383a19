#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "graph/op.h"
#include "weights/source.h"

namespace quern {

/// The symbolic leading dimension of a value.
enum class Rows : std::uint8_t { tokens, logit_rows };

/// A buffer between nodes, [rows, cols].
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

/// A model as a list of nodes in order of execution. Ids are indices, so a graph is a plain value.
struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<WeightSpec> weights;
  DType activation_dtype = DType::float32;

  const Value& value(ValueId id) const { return values.at(static_cast<std::size_t>(id)); }
  const WeightSpec& weight(WeightId id) const { return weights.at(static_cast<std::size_t>(id)); }
};

/// The kind of an op as dumps and profiles print it: "NormLinear", "Attention", …
std::string_view op_name(const Op& op);

/// "[tokens, 192] float32".
std::string type_string(const Value& value);

/// The values an op reads and writes, in the contract's order.
std::vector<ValueId> op_inputs(const Op& op);
std::vector<ValueId> op_outputs(const Op& op);
std::vector<WeightId> op_weights(const Op& op);

/// Checks a graph against the contract: ids in range, every value written once and before it is
/// read (so that no output is an input), shapes and dtypes as op.h says, one Embed and it comes
/// first, layers numbered from 0 with one KV geometry, weights whose parts fill them and that some
/// node uses. Errors: internal, naming node and value.
void validate(const Graph& graph);

/// One line a node: name, kind, inputs -> outputs with shapes and dtypes, weights, and what else
/// the op carries.
std::string dump(const Graph& graph);

}  // namespace quern
