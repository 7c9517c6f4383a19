#include "graph/graph.h"

#include <fmt/format.h>

namespace quern {
namespace {

/// The values that an op reads and writes, in declaration order.
struct Operands {
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::vector<WeightId> weights;
};

template <typename Id>
void add(std::vector<Id>& ids, const std::optional<Id>& id) {
  if (id) ids.push_back(*id);
}

Operands operands(const Embed& op) {
  Operands result{{}, {op.out}, {op.token_embedding}};
  add(result.weights, op.position_embedding);
  return result;
}

Operands operands(const NormLinear& op) {
  Operands result{{op.residual}, {}, {op.gain}};
  add(result.inputs, op.delta);
  add(result.outputs, op.residual_out);
  result.outputs.push_back(op.out);
  add(result.weights, op.norm_bias);
  result.weights.push_back(op.weight);
  add(result.weights, op.bias);
  return result;
}

Operands operands(const Attention& op) {
  Operands result{{op.qkv}, {op.out}, {}};
  add(result.weights, op.q_norm);
  add(result.weights, op.k_norm);
  return result;
}

Operands operands(const Linear& op) {
  Operands result{{op.in}, {op.out}, {op.weight}};
  add(result.weights, op.bias);
  return result;
}

Operands operands(const AllReduce& op) { return {{op.in}, {op.out}, {}}; }
Operands operands(const AllGather& op) { return {{op.in}, {op.out}, {}}; }
Operands operands(const Sample& op) { return {{op.logits}, {}, {}}; }
Operands operands(const Advance&) { return {}; }

Operands operands_of(const Op& op) {
  return std::visit([](const auto& alternative) { return operands(alternative); }, op);
}

struct OpName {
  std::string_view operator()(const Embed&) const { return "Embed"; }
  std::string_view operator()(const NormLinear&) const { return "NormLinear"; }
  std::string_view operator()(const Attention&) const { return "Attention"; }
  std::string_view operator()(const Linear&) const { return "Linear"; }
  std::string_view operator()(const AllReduce&) const { return "AllReduce"; }
  std::string_view operator()(const AllGather&) const { return "AllGather"; }
  std::string_view operator()(const Sample&) const { return "Sample"; }
  std::string_view operator()(const Advance&) const { return "Advance"; }
};

}  // namespace

std::string_view op_name(const Op& op) { return std::visit(OpName{}, op); }

std::string type_string(const Value& value) {
  return fmt::format("[{}, {}] {}", value.rows == Rows::tokens ? "tokens" : "logit_rows",
                     value.cols, dtype_name(value.dtype));
}

std::vector<ValueId> op_inputs(const Op& op) { return operands_of(op).inputs; }
std::vector<ValueId> op_outputs(const Op& op) { return operands_of(op).outputs; }
std::vector<WeightId> op_weights(const Op& op) { return operands_of(op).weights; }

}  // namespace quern
