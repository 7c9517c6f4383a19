#include <algorithm>

#include "base/error.h"
#include "base/memory/shape.h"
#include "graph/graph.h"
#include "graph/validate/validate_op.h"

namespace quern {
namespace {

/// Walks the nodes in execution order and tracks the values written so far.
class Validator {
 public:
  explicit Validator(const Graph& graph)
      : graph_(graph), written_(graph.values.size()), used_(graph.weights.size()) {}

  void run() {
    check_declarations();
    for (const Node& node : graph_.nodes) {
      check_ids(node);
      validate_op(graph_, node);
      check_place(node);
    }
    for (std::size_t i = 0; i < written_.size(); ++i) {
      if (!written_[i]) reject("value '{}' is never written", graph_.values[i].name);
    }
    for (std::size_t i = 0; i < used_.size(); ++i) {
      if (!used_[i]) reject("weight '{}' is never used", graph_.weights[i].name);
    }
  }

 private:
  template <typename... Args>
  [[noreturn]] static void reject(fmt::format_string<Args...> format, Args&&... args) {
    fail(ErrorCode::internal, "graph: {}", fmt::format(format, std::forward<Args>(args)...));
  }

  static bool is_float(DType dtype) {
    return dtype == DType::float32 || dtype == DType::float16 || dtype == DType::bfloat16;
  }

  void check_declarations() const {
    if (!is_float(graph_.activation_dtype)) {
      reject("activations of {}", dtype_name(graph_.activation_dtype));
    }
    for (const Value& value : graph_.values) {
      if (value.cols <= 0 || !is_float(value.dtype)) {
        reject("value '{}' is {}", value.name, type_string(value));
      }
    }
    for (const WeightSpec& spec : graph_.weights) check_weight(spec);
  }

  static void check_weight(const WeightSpec& spec) {
    const auto numel = checked_product(spec.out_features, spec.in_features);
    const bool is_vector = spec.use == WeightUse::vector;
    if (!numel || *numel == 0 || (is_vector && spec.out_features != 1)) {
      reject("weight '{}' is [{}, {}]", spec.name, spec.out_features, spec.in_features);
    }
    std::int64_t rest = *numel;
    for (const WeightPart& part : spec.parts) {
      rest -= std::min(checked_numel(part.shape).value_or(INT64_MAX), rest + 1);
    }
    if (rest != 0) reject("weight '{}': its parts do not fill it", spec.name);
  }

  void check_ids(const Node& node) {
    const auto check = [&](auto id, std::size_t size, std::string_view kind) {
      const auto index = static_cast<std::size_t>(id);
      if (index >= size) reject("node '{}': no {} has the id {}", node.name, kind, index);
      return index;
    };
    for (const WeightId id : op_weights(node.op)) used_[check(id, used_.size(), "weight")] = true;
    for (const ValueId id : op_inputs(node.op)) {
      const std::size_t index = check(id, written_.size(), "value");
      if (!written_[index]) {
        reject("node '{}': reads '{}' before it is written", node.name, graph_.values[index].name);
      }
    }
    for (const ValueId id : op_outputs(node.op)) {
      const std::size_t index = check(id, written_.size(), "value");
      if (written_[index]) {
        reject("node '{}': writes '{}' again", node.name, graph_.values[index].name);
      }
      written_[index] = true;
    }
  }

  void check_place(const Node& node) {
    const bool is_first = &node == &graph_.nodes.front();
    if (std::holds_alternative<Embed>(node.op) != is_first) {
      reject("node '{}': Embed is the first node, and only that", node.name);
    }
    const auto* attention = std::get_if<Attention>(&node.op);
    if (attention == nullptr) return;
    if (attention->layer != num_layers_) {
      reject("node '{}': layer {}, expected {}", node.name, attention->layer, num_layers_);
    }
    if (num_layers_ == 0) first_attention_ = attention;
    if (attention->num_kv_heads != first_attention_->num_kv_heads ||
        attention->head_dim != first_attention_->head_dim) {
      reject("node '{}': {} KV heads of {}, expected {} of {} as in layer 0", node.name,
             attention->num_kv_heads, attention->head_dim, first_attention_->num_kv_heads,
             first_attention_->head_dim);
    }
    ++num_layers_;
  }

  const Graph& graph_;
  std::vector<bool> written_;
  std::vector<bool> used_;
  const Attention* first_attention_ = nullptr;
  int num_layers_ = 0;
};

}  // namespace

void validate(const Graph& graph) { Validator(graph).run(); }

}  // namespace quern
