#include "graph/builder.h"

namespace quern {

ValueId GraphBuilder::value(std::string name, std::int64_t cols, DType dtype, Rows rows) {
  graph_.values.push_back({rows, cols, dtype, std::move(name)});
  return ValueId{static_cast<std::int32_t>(graph_.values.size() - 1)};
}

WeightId GraphBuilder::weight(WeightSpec spec) {
  graph_.weights.push_back(std::move(spec));
  return WeightId{static_cast<std::int32_t>(graph_.weights.size() - 1)};
}

void GraphBuilder::node(std::string name, Op op) {
  graph_.nodes.push_back({std::move(op), std::move(name)});
}

Graph GraphBuilder::finish() && {
  validate(graph_);
  return std::move(graph_);
}

}  // namespace quern
