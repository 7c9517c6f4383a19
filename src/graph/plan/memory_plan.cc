#include "graph/plan/memory_plan.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "base/memory/arena.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

/// A value's bytes and lifetime, from its first to its last node inclusive.
struct Lifetime {
  std::size_t size_bytes = 0;
  std::size_t first_node = 0;
  std::size_t last_node = 0;

  bool overlaps(const Lifetime& other) const {
    return first_node <= other.last_node && other.first_node <= last_node;
  }
};

std::size_t value_bytes(const Value& value, const Limits& limits) {
  const int rows = limits.max_rows(value.rows);
  const auto numel = checked_product(rows, value.cols);
  const auto bytes =
      numel ? checked_product(*numel, static_cast<std::int64_t>(dtype_bytes(value.dtype)))
            : std::nullopt;
  QUERN_CHECK(bytes, "value '{}' has [{}, {}] elements", value.name, rows, value.cols);
  return align_up(static_cast<std::size_t>(*bytes), Arena::kAlignment);
}

std::vector<Lifetime> lifetimes(const Graph& graph, const Limits& limits) {
  std::vector<Lifetime> result(graph.values.size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i].size_bytes = value_bytes(graph.values[i], limits);
  }
  const auto lifetime = [&](ValueId id) -> Lifetime& {
    return result.at(static_cast<std::size_t>(id));
  };
  for (std::size_t node = 0; node < graph.nodes.size(); ++node) {
    for (const ValueId id : op_outputs(graph.nodes[node].op)) {
      // The host reads the logits after the last node.
      const bool stays = graph.value(id).rows == Rows::logit_rows;
      lifetime(id).first_node = node;
      lifetime(id).last_node = stays ? graph.nodes.size() : node;
    }
    const auto* norm_linear = std::get_if<NormLinear>(&graph.nodes[node].op);
    // What logit rows are chosen from is read again if others are wanted after the step.
    const bool chooses = norm_linear != nullptr && norm_linear->in_rows != norm_linear->out_rows;
    for (const ValueId id : op_inputs(graph.nodes[node].op)) {
      const std::size_t last = chooses ? graph.nodes.size() : node;
      lifetime(id).last_node = std::max(lifetime(id).last_node, last);
    }
  }
  return result;
}

/// First-fit offset: the lowest at which `size_bytes` bytes do not overlap `taken`, which is sorted
/// by offset.
std::size_t first_fit(const std::vector<std::pair<std::size_t, std::size_t>>& taken,
                      std::size_t size_bytes) {
  std::size_t offset = 0;
  for (const auto& [begin, end] : taken) {
    if (begin >= offset + size_bytes) break;
    offset = std::max(offset, end);
  }
  return offset;
}

}  // namespace

ActivationPlan plan_activations(const Graph& graph, const Limits& limits) {
  const std::vector<Lifetime> all = lifetimes(graph, limits);
  // Large values first: small ones then fill the gaps, which packs better than execution order.
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return all[a].size_bytes > all[b].size_bytes;
  });

  ActivationPlan plan;
  plan.offsets.resize(all.size());
  std::vector<std::pair<std::size_t, std::size_t>> taken;
  for (auto current = order.begin(); current != order.end(); ++current) {
    const Lifetime& lifetime = all[*current];
    taken.clear();
    for (auto placed = order.begin(); placed != current; ++placed) {
      if (!all[*placed].overlaps(lifetime)) continue;
      taken.emplace_back(plan.offsets[*placed], plan.offsets[*placed] + all[*placed].size_bytes);
    }
    std::sort(taken.begin(), taken.end());
    plan.offsets[*current] = first_fit(taken, lifetime.size_bytes);
    plan.total_bytes = std::max(plan.total_bytes, plan.offsets[*current] + lifetime.size_bytes);
  }
  return plan;
}

KvGeometry kv_geometry(const Graph& graph) {
  KvGeometry geometry;
  for (const Node& node : graph.nodes) {
    const auto* attention = std::get_if<Attention>(&node.op);
    if (attention == nullptr) continue;
    ++geometry.num_layers;
    geometry.num_kv_heads = attention->num_kv_heads;
    geometry.head_dim = attention->head_dim;
  }
  return geometry;
}

}  // namespace quern
