#pragma once

#include "graph/graph.h"

namespace quern {

/// Checks one node's shapes, dtypes, weights and numbers against op.h. Its ids must be in range.
/// Errors: internal, naming the node and what differs.
void validate_op(const Graph& graph, const Node& node);

}  // namespace quern
