#include "graph/plan/node_cost.h"

#include <optional>
#include <variant>

namespace quern {
namespace {

class Counter {
 public:
  Counter(const Graph& graph, const StoredFormats& stored, const StepSizes& sizes)
      : graph_(graph), stored_(stored), sizes_(sizes) {}

  NodeCost operator()(const Embed& op) const {
    const Value& out = graph_.value(op.out);
    NodeCost cost;
    for (const auto& table : {std::optional(op.token_embedding), op.position_embedding}) {
      if (table) cost.weight_bytes += rows_of(out) * bytes_of_row(*table);
    }
    cost.activation_bytes = bytes_of(op.out);
    return cost;
  }

  NodeCost operator()(const NormLinear& op) const {
    NodeCost cost = product(op.weight, rows_of(graph_.value(op.out)));
    cost.weight_bytes += bytes_of(op.gain) + bytes_of(op.norm_bias) + bytes_of(op.bias);
    cost.activation_bytes = bytes_of(op.residual_out) + bytes_of(op.out);
    // Where rows are chosen, only those are read.
    const double rows = rows_of(graph_.value(op.out));
    cost.activation_bytes += rows * bytes_of_row(op.residual);
    if (op.delta) cost.activation_bytes += rows * bytes_of_row(*op.delta);
    return cost;
  }

  NodeCost operator()(const Attention& op) const {
    const KvBlockBytes slot =
        kv_block_bytes({1, op.num_kv_heads, op.head_dim}, stored_.kv_cache, 1);
    NodeCost cost;
    cost.kv_bytes = static_cast<double>(slot.total()) *
                    static_cast<double>(sizes_.kv_slots + sizes_.num_tokens);
    cost.activation_bytes = bytes_of(op.qkv) + bytes_of(op.out);
    cost.flops = 4.0 * sizes_.attended_pairs * op.num_heads * op.head_dim;
    return cost;
  }

  NodeCost operator()(const Linear& op) const {
    NodeCost cost = product(op.weight, rows_of(graph_.value(op.out)));
    cost.weight_bytes += bytes_of(op.bias);
    cost.activation_bytes = bytes_of(op.in) + bytes_of(op.out);
    return cost;
  }

  NodeCost operator()(const AllReduce& op) const { return copy(op.in, op.out); }
  NodeCost operator()(const AllGather& op) const { return copy(op.in, op.out); }

  NodeCost operator()(const Sample& op) const {
    NodeCost cost;
    cost.activation_bytes = bytes_of(op.logits);
    return cost;
  }

  NodeCost operator()(const Advance&) const { return {}; }

 private:
  double rows_of(const Value& value) const {
    return static_cast<double>(value.rows == Rows::tokens ? sizes_.num_tokens
                                                          : sizes_.num_logit_rows);
  }
  double bytes_of_row(ValueId id) const {
    const Value& value = graph_.value(id);
    return static_cast<double>(value.cols) * static_cast<double>(dtype_bytes(value.dtype));
  }
  double bytes_of(ValueId id) const { return rows_of(graph_.value(id)) * bytes_of_row(id); }
  const Weight& weight(WeightId id) const { return stored_.weights[static_cast<std::size_t>(id)]; }
  double bytes_of_row(WeightId id) const {
    return static_cast<double>(storage_bytes(weight(id).format, {1, weight(id).in_features}));
  }
  double bytes_of(WeightId id) const {
    return static_cast<double>(storage_bytes(weight(id).format, weight(id).shape()));
  }
  template <typename Id>
  double bytes_of(const std::optional<Id>& id) const {
    return id ? bytes_of(*id) : 0.0;
  }

  NodeCost product(WeightId id, double rows) const {
    NodeCost cost;
    cost.weight_bytes = bytes_of(id);
    cost.flops = 2.0 * rows * static_cast<double>(weight(id).out_features) *
                 static_cast<double>(weight(id).in_features);
    return cost;
  }

  NodeCost copy(ValueId in, ValueId out) const {
    NodeCost cost;
    cost.activation_bytes = bytes_of(in) + bytes_of(out);
    return cost;
  }

  const Graph& graph_;
  const StoredFormats& stored_;
  const StepSizes& sizes_;
};

}  // namespace

NodeCost& NodeCost::operator+=(const NodeCost& other) {
  weight_bytes += other.weight_bytes;
  kv_bytes += other.kv_bytes;
  activation_bytes += other.activation_bytes;
  flops += other.flops;
  return *this;
}

NodeCost node_cost(const Graph& graph, const Node& node, const StoredFormats& stored,
                   const StepSizes& sizes) {
  return std::visit(Counter(graph, stored, sizes), node.op);
}

StepSizes decode_sizes(std::int64_t num_seqs, std::int64_t kv_len) {
  const std::int64_t slots = num_seqs * kv_len;
  return {num_seqs, num_seqs, slots - num_seqs, static_cast<double>(slots)};
}

StepSizes prefill_sizes(std::int64_t num_seqs, std::int64_t prompt_len) {
  const std::int64_t tokens = num_seqs * prompt_len;
  const double pairs = static_cast<double>(tokens) * (static_cast<double>(prompt_len) + 1) / 2;
  return {tokens, num_seqs, 0, pairs};
}

}  // namespace quern
