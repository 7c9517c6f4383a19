#include "backend/executor.h"

#include <algorithm>
#include <variant>

#include "backend/node_fault.h"
#include "backend/trace_range.h"
#include "base/error.h"

namespace quern {

namespace {

/// Calls `body`; prefixes an Error with the node's name.
template <typename Body>
void naming_errors(const Node& node, const Body& body) {
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
    naming_errors(node, [&] {
      if (node_must_fail()) fail(ErrorCode::device, "a fault that a test asked for");
      std::visit([&](const auto& op) { backend.run(op, step); }, node.op);
    });
    if (observer) observer(node, true);
  }
}

void for_each_node(std::span<const Node> nodes, const std::function<void(const Node& node)>& run) {
  for (const Node& node : nodes) naming_errors(node, [&] { run(node); });
}

void check_support(const Backend& backend, const Graph& graph, const Limits& limits) {
  for (const Node& node : graph.nodes) {
    naming_errors(node, [&] { backend.check(node.op, graph, limits); });
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
