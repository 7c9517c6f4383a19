#pragma once

#include <functional>
#include <span>

#include "backend/backend.h"
#include "graph/graph.h"
#include "graph/step.h"

namespace quern {

/// Called before (`done` false) and after (`done` true) each node.
using NodeObserver = std::function<void(const Node& node, bool done)>;

/// Runs nodes in order, all of a graph or some. Errors are rethrown, prefixed with the node's name.
void execute(Backend& backend, std::span<const Node> nodes, const Step& step,
             const NodeObserver& observer = {});

/// Passes the nodes to `run` in order, with the same errors: for a backend that records them.
void for_each_node(std::span<const Node> nodes, const std::function<void(const Node& node)>& run);

/// Refuses a graph that the backend cannot run within the limits; see Backend::check.
/// Errors: unsupported naming the node.
void check_support(const Backend& backend, const Graph& graph, const Limits& limits);

/// The largest workspace_bytes over all nodes.
std::size_t workspace_bytes(const Backend& backend, const Graph& graph, const Limits& limits);

}  // namespace quern
