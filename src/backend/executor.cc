#include "backend/executor.h"

#include <algorithm>
#include <variant>

#include "backend/node_fault.h"
#include "backend/trace_range.h"
#include "base/error.h"

namespace quern {

namespace {

/// Calls body(); an error of it names the node.
template <typename Body>
void for_node(const Node& node, const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", node.name, error.what());
  }
}

}  // namespace

void execute(Backend& backend, std::span<const Node> nodes, const Step& step,
             const NodeObserver& observer) {
  for (const Node& node : nodes) {
    const TraceRange range(backend, node.name.c_str());
    if (observer) observer(node, false);
    for_node(node, [&] {
      if (node_must_fail()) fail(ErrorCode::device, "a fault that a test asked for");
      std::visit([&](const auto& op) { backend.run(op, step); }, node.op);
    });
    if (observer) observer(node, true);
  }
}

void check_support(const Backend& backend, const Graph& graph, const Limits& limits) {
  for (const Node& node : graph.nodes) {
    for_node(node, [&] { backend.check(node.op, graph, limits); });
  }
}

std::size_t workspace_bytes(const Backend& backend, const Graph& graph, const Limits& limits) {
  std::size_t largest = 0;
  for (const Node& node : graph.nodes) {
    largest = std::max(largest, backend.workspace_bytes(node.op, graph, limits));
  }
  return largest;
}

}  // namespace quern
