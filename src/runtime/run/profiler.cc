#include "runtime/run/profiler.h"

#include <algorithm>
#include <span>
#include <variant>

#include "backend/executor.h"
#include "graph/plan/node_cost.h"

namespace quern {
namespace {

NodeProfile& entry_of(std::vector<NodeProfile>& entries, const std::string& kind) {
  const auto known = std::find_if(entries.begin(), entries.end(),
                                  [&](const NodeProfile& entry) { return entry.kind == kind; });
  if (known != entries.end()) return *known;
  return entries.emplace_back(NodeProfile{kind});
}

/// The nodes before the first that changes a step's inputs: these can run repeatedly.
std::span<const Node> repeatable_nodes(std::span<const Node> nodes) {
  const auto changes = [](const Node& node) {
    return std::holds_alternative<Sample>(node.op) || std::holds_alternative<Advance>(node.op);
  };
  const auto first = std::find_if(nodes.begin(), nodes.end(), changes);
  return nodes.first(static_cast<std::size_t>(first - nodes.begin()));
}

}  // namespace

Profiler::Profiler(Backend& backend, const Graph& graph)
    : backend_(&backend),
      graph_(&graph),
      stopwatch_(backend.make_stopwatch()),
      read_gbps_(backend.measure_read_gbps()) {}

void Profiler::run(const Step& step) {
  const std::vector<Node>& nodes = graph_->nodes;
  Sums& sums = step.batch.num_tokens == step.batch.num_decode_seqs ? decode_ : prefill_;
  if (sums.num_steps == 0) execute(*backend_, repeatable_nodes(nodes), step);
  stopwatch_->start(static_cast<int>(nodes.size()));
  execute(*backend_, nodes, step, [&](const Node&, bool done) {
    if (done) stopwatch_->mark();
  });
  const std::vector<double> laps_us = stopwatch_->take_laps_us();
  ++sums.num_steps;
  StepSizes sizes;
  sizes.num_tokens = step.batch.num_tokens;
  sizes.num_logit_rows = step.batch.num_logit_rows;
  sizes.kv_slots = step.batch.total_kv_len - step.batch.num_tokens;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    NodeProfile& entry = entry_of(sums.nodes, node_kind(nodes[i].name));
    entry.count_per_step += 1;
    entry.us_per_step += laps_us[i];
    entry.bytes_per_step +=
        node_cost(*graph_, nodes[i], {step.weights, step.kv_cache.format}, sizes).bytes();
  }
}

Profile Profiler::profile() const { return {read_gbps_, average(prefill_), average(decode_)}; }

PhaseProfile Profiler::average(const Sums& sums) {
  PhaseProfile phase{sums.num_steps, sums.nodes};
  const auto num_steps = static_cast<double>(std::max<std::uint64_t>(sums.num_steps, 1));
  for (NodeProfile& node : phase.nodes) {
    node.count_per_step /= num_steps;
    node.us_per_step /= num_steps;
    node.bytes_per_step /= num_steps;
  }
  return phase;
}

std::string node_kind(const std::string& node_name) {
  return node_name.substr(node_name.rfind('.') + 1);  // npos + 1 is 0: the whole name
}

}  // namespace quern
