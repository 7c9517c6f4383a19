#include <fmt/format.h>

#include <algorithm>

#include "graph/graph.h"

namespace quern {
namespace {

const char* norm_name(NormKind norm) { return norm == NormKind::rms ? "rms" : "layer"; }

const char* activation_name(Activation activation) {
  switch (activation) {
    case Activation::none:
      return "none";
    case Activation::silu:
      return "silu";
    case Activation::gelu:
      return "gelu";
    case Activation::gelu_tanh:
      return "gelu_tanh";
    case Activation::relu:
      return "relu";
    case Activation::quick_gelu:
      return "quick_gelu";
    case Activation::gelu_10:
      return "gelu_10";
    case Activation::relu_squared:
      return "relu_squared";
    case Activation::relu6:
      return "relu6";
    case Activation::leaky_relu:
      return "leaky_relu";
    case Activation::tanh:
      return "tanh";
    case Activation::sigmoid:
      return "sigmoid";
    case Activation::mish:
      return "mish";
    case Activation::hardswish:
      return "hardswish";
    case Activation::laplace:
      return "laplace";
    case Activation::sqrt_softplus:
      return "sqrt_softplus";
  }
  return "unknown";
}

const char* rope_type_name(RopeType type) {
  switch (type) {
    case RopeType::standard:
      return "default";
    case RopeType::linear:
      return "linear";
    case RopeType::dynamic:
      return "dynamic";
    case RopeType::llama3:
      return "llama3";
    case RopeType::yarn:
      return "yarn";
    case RopeType::longrope:
      return "longrope";
    case RopeType::qwen_ntk:
      return "qwen_ntk";
  }
  return "unknown";
}

/// An op's attributes other than values and weights.
struct Attributes {
  std::string operator()(const NormLinear& op) const {
    std::string text = fmt::format("{} eps={:g}", norm_name(op.norm), op.epsilon);
    if (op.activation != Activation::none)
      text += fmt::format(" {}", activation_name(op.activation));
    if (op.gated) text += " gated";
    if (op.in_rows != op.out_rows) text += " logit_rows_only";
    return text;
  }

  std::string operator()(const Attention& op) const {
    std::string text = fmt::format("layer={} heads={} kv_heads={} head_dim={} scale={:g}", op.layer,
                                   op.num_heads, op.num_kv_heads, op.head_dim, op.scale);
    if (op.rope) text += describe(*op.rope);
    if (op.q_norm || op.k_norm) text += fmt::format(" eps={:g}", op.norm_epsilon);
    if (op.window > 0) text += fmt::format(" window={}", op.window);
    if (op.softcap > 0.0f) text += fmt::format(" softcap={:g}", op.softcap);
    if (op.logn_length > 0) text += fmt::format(" logn={}", op.logn_length);
    return text;
  }

  template <typename Other>
  std::string operator()(const Other&) const {
    return {};
  }

 private:
  static std::string describe(const Rope& rope) {
    std::string text = fmt::format(" rope={} rotary_dim={} theta={:g}", rope_type_name(rope.type),
                                   rope.rotary_dim, rope.theta);
    if (rope.factor != 1.0) text += fmt::format(" factor={:g}", rope.factor);
    if (rope.type == RopeType::llama3) {
      text += fmt::format(" low={:g} high={:g}", rope.low_freq_factor, rope.high_freq_factor);
    }
    if (rope.type == RopeType::yarn) {
      text +=
          fmt::format(" beta_fast={:g} beta_slow={:g} attention_factor={:g}{}", rope.beta_fast,
                      rope.beta_slow, rope.attention_factor, rope.truncate ? "" : " exact_range");
    }
    if (rope.type == RopeType::longrope) {
      text += fmt::format(" attention_factor={:g}", rope.attention_factor);
    }
    if (rope.original_max_position > 0) text += fmt::format(" from={}", rope.original_max_position);
    return text;
  }
};

std::string value_list(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<std::string> items;
  items.reserve(ids.size());
  for (const ValueId id : ids) {
    items.push_back(fmt::format("{} {}", graph.value(id).name, type_string(graph.value(id))));
  }
  return fmt::format("{}", fmt::join(items, ", "));
}

std::string weight_list(const Graph& graph, const std::vector<WeightId>& ids) {
  std::vector<std::string> items;
  items.reserve(ids.size());
  for (const WeightId id : ids) {
    const WeightSpec& spec = graph.weight(id);
    items.push_back(fmt::format("{} [{}, {}]", spec.name, spec.out_features, spec.in_features));
  }
  return fmt::format("{}", fmt::join(items, ", "));
}

/// Appends `separator` and `text`, unless that is empty.
void append(std::string& line, std::string_view separator, const std::string& text) {
  if (!text.empty()) line += fmt::format("{}{}", separator, text);
}

}  // namespace

std::string dump(const Graph& graph) {
  std::size_t width = 0;
  for (const Node& node : graph.nodes) width = std::max(width, node.name.size());

  std::string result;
  for (const Node& node : graph.nodes) {
    std::string line = fmt::format("{:<{}}  {:<10}", node.name, width, op_name(node.op));
    append(line, "  ", value_list(graph, op_inputs(node.op)));
    append(line, "  -> ", value_list(graph, op_outputs(node.op)));
    append(line, "  | ", weight_list(graph, op_weights(node.op)));
    append(line, "  | ", std::visit(Attributes{}, node.op));
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + '\n';
  }
  return result;
}

}  // namespace quern
