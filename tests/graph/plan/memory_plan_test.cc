#include "graph/plan/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/memory/arena.h"
#include "base/memory/shape.h"
#include "tests/graph/small_graph.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

Limits make_limits(int max_tokens_per_step, int max_logit_rows) {
  Limits limits;
  limits.max_tokens_per_step = max_tokens_per_step;
  limits.max_logit_rows = max_logit_rows;
  return limits;
}

std::size_t padded_bytes(const Value& value, const Limits& limits) {
  const int rows = value.rows == Rows::tokens ? limits.max_tokens_per_step : limits.max_logit_rows;
  return align_up(static_cast<std::size_t>(rows * value.cols) * dtype_bytes(value.dtype),
                  Arena::kAlignment);
}

/// The values that a node reads or writes.
struct Touched {
  std::vector<ValueId> outputs, inputs;
};

std::vector<Touched> touched_values(const Graph& graph) {
  std::vector<Touched> result;
  for (const Node& node : graph.nodes) result.push_back({op_outputs(node.op), op_inputs(node.op)});
  return result;
}

bool contains(const std::vector<ValueId>& ids, ValueId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

/// Brute force: a value is live at a node if it is written at or before the node and accessed at or
/// after it. Those that stay are live at every node after their own.
bool is_live(const std::vector<Touched>& nodes, ValueId value, std::size_t node, bool stays) {
  const auto here = nodes.begin() + static_cast<std::ptrdiff_t>(node);
  const auto writes = [&](const Touched& touched) { return contains(touched.outputs, value); };
  const auto touches = [&](const Touched& touched) {
    return writes(touched) || contains(touched.inputs, value);
  };
  return std::any_of(nodes.begin(), here + 1, writes) &&
         (stays || std::any_of(here, nodes.end(), touches));
}

/// Values of logit rows, and what they are chosen from.
bool stays(const Graph& graph, ValueId value) {
  return graph.value(value).rows == Rows::logit_rows ||
         std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) {
           const auto* op = std::get_if<NormLinear>(&node.op);
           return op != nullptr && op->in_rows != op->out_rows &&
                  (op->residual == value || op->delta == value);
         });
}

/// Checks the plan node by node and returns the largest number of bytes live at one of them.
std::size_t check_plan(const Graph& graph, const Limits& limits, const ActivationPlan& plan) {
  EXPECT_EQ(plan.offsets.size(), graph.values.size());
  const auto touched = touched_values(graph);
  std::size_t peak = 0;
  for (std::size_t node = 0; node < graph.nodes.size(); ++node) {
    std::vector<std::pair<std::size_t, std::size_t>> live;
    std::size_t total = 0;
    for (std::size_t value = 0; value < graph.values.size(); ++value) {
      const ValueId id{static_cast<int>(value)};
      if (!is_live(touched, id, node, stays(graph, id))) continue;
      const std::size_t size_bytes = padded_bytes(graph.values[value], limits);
      live.emplace_back(plan.offsets[value], plan.offsets[value] + size_bytes);
      total += size_bytes;
    }
    std::sort(live.begin(), live.end());
    for (std::size_t i = 0; i < live.size(); ++i) {
      EXPECT_EQ(live[i].first % Arena::kAlignment, 0u);
      EXPECT_LE(live[i].second, plan.total_bytes);
      EXPECT_LE(i == 0 ? 0 : live[i - 1].second, live[i].first) << "at node " << node;
    }
    peak = std::max(peak, total);
  }
  return peak;
}

TEST(PlanActivations, LayersShareTheBytesOfOneLayer) {
  const Graph graph = testing::small_graph();
  const Limits limits = make_limits(64, 4);
  const ActivationPlan plan = plan_activations(graph, limits);
  const std::size_t peak = check_plan(graph, limits, plan);
  EXPECT_EQ(plan.total_bytes, peak);
}

TEST(PlanActivations, LogitsOutliveTheStep) {
  // After the lm_head comes a node that needs memory: it must not reuse the logits'.
  Graph graph = testing::small_graph();
  const ValueId logits = testing::op_of<NormLinear>(graph, "lm_head").out;
  graph.values.push_back({Rows::tokens, 8, DType::float16, "late"});
  const ValueId late{static_cast<int>(graph.values.size()) - 1};
  graph.nodes.push_back({AllReduce{testing::op_of<Linear>(graph, "layers.1.down").out, late}, "x"});
  const Limits limits = make_limits(64, 64);
  const ActivationPlan plan = plan_activations(graph, limits);
  check_plan(graph, limits, plan);
  const auto offset = [&](ValueId id) { return plan.offsets[static_cast<std::size_t>(id)]; };
  EXPECT_TRUE(offset(late) >= offset(logits) + padded_bytes(graph.value(logits), limits) ||
              offset(late) + padded_bytes(graph.value(late), limits) <= offset(logits));
}

TEST(PlanActivations, WhatLogitRowsAreChosenFromOutlivesTheStep) {
  Graph graph = testing::small_graph();
  const NormLinear head = testing::op_of<NormLinear>(graph, "lm_head");
  const std::int64_t cols = graph.value(head.residual).cols;
  graph.values.push_back({Rows::tokens, cols, DType::float32, "late"});
  const ValueId late{static_cast<int>(graph.values.size()) - 1};
  graph.nodes.push_back({AllReduce{testing::op_of<Linear>(graph, "layers.0.down").out, late}, "x"});
  const Limits limits = make_limits(64, 4);
  const ActivationPlan plan = plan_activations(graph, limits);
  check_plan(graph, limits, plan);
  const auto offset = [&](ValueId id) { return plan.offsets[static_cast<std::size_t>(id)]; };
  for (const ValueId chosen : {head.residual, *head.delta}) {
    EXPECT_TRUE(offset(late) >= offset(chosen) + padded_bytes(graph.value(chosen), limits) ||
                offset(late) + padded_bytes(graph.value(late), limits) <= offset(chosen));
  }
}

/// Nodes that read a few earlier values and write one or two new ones.
Graph random_graph(std::mt19937& random) {
  const auto pick = [&](std::size_t count) { return static_cast<int>(random() % count); };
  Graph graph;
  const auto new_value = [&] {
    const DType dtype = pick(2) == 0 ? DType::float32 : DType::float16;
    const Rows rows = pick(8) == 0 ? Rows::logit_rows : Rows::tokens;
    graph.values.push_back({rows, 1 + pick(700), dtype, "v"});
    return ValueId{static_cast<int>(graph.values.size()) - 1};
  };
  graph.nodes.push_back({Embed{new_value(), WeightId{0}, {}}, "embed"});
  const int num_nodes = 1 + pick(40);
  for (int i = 0; i < num_nodes; ++i) {
    const std::size_t num_values = graph.values.size();
    NormLinear op{};
    op.residual = ValueId{pick(num_values)};
    if (pick(2) == 0) op.delta = ValueId{pick(num_values)};
    if (pick(2) == 0) op.residual_out = new_value();
    op.out = new_value();
    if (pick(6) == 0) op.out_rows = Rows::logit_rows;
    graph.nodes.push_back({op, "n"});
  }
  return graph;
}

TEST(PlanActivations, RandomGraphs) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(round);
    const Graph graph = random_graph(random);
    const Limits limits =
        make_limits(1 + static_cast<int>(random() % 300), 1 + static_cast<int>(random() % 20));
    const ActivationPlan plan = plan_activations(graph, limits);
    const std::size_t peak = check_plan(graph, limits, plan);
    EXPECT_GE(plan.total_bytes, peak);
    std::size_t sum = 0;
    for (const Value& value : graph.values) sum += padded_bytes(value, limits);
    EXPECT_LE(plan.total_bytes, sum);
    if (HasFailure()) return;
  }
}

TEST(PlanActivations, RefusesSizesThatOverflow) {
  Graph graph = testing::small_graph();
  graph.values[0].cols = INT64_MAX / 2;
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"embed"}), plan_activations(graph, make_limits(64, 1)));
}

TEST(KvGeometry, ReadsTheAttentionNodes) {
  const Graph graph = testing::small_graph();
  const KvGeometry geometry = kv_geometry(graph);
  EXPECT_EQ(geometry.num_layers, 2);
  EXPECT_EQ(geometry.num_kv_heads, 1);
  EXPECT_EQ(geometry.head_dim, 4);
  EXPECT_EQ(kv_geometry(Graph{}).num_layers, 0);
}

}  // namespace
}  // namespace quern
