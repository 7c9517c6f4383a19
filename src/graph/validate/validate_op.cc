#include "graph/validate/validate_op.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"

namespace quern {
namespace {

/// One check per alternative of Op, in the order of op.h.
class NodeChecker {
 public:
  NodeChecker(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}

  void operator()(const Embed& op) const {
    const std::int64_t hidden_size = graph_.value(op.out).cols;
    expect_value(op.out, "out", Rows::tokens, hidden_size, DType::float32);
    expect_weight(op.token_embedding, "token_embedding", std::nullopt, hidden_size);
    expect_use(op.token_embedding, "token_embedding", WeightUse::embedding);
    if (op.position_embedding) {
      expect_weight(*op.position_embedding, "position_embedding", std::nullopt, hidden_size);
      expect_use(*op.position_embedding, "position_embedding", WeightUse::embedding);
    }
  }

  void operator()(const NormLinear& op) const {
    const std::int64_t in = graph_.value(op.residual).cols;
    const std::int64_t out = graph_.value(op.out).cols;
    const std::int64_t out_features = op.gated ? 2 * out : out;
    expect(op.in_rows == Rows::tokens || op.out_rows == Rows::logit_rows,
           "rows of tokens out of logit rows");
    expect_value(op.residual, "residual", op.in_rows, in, DType::float32);
    if (op.delta) expect_value(*op.delta, "delta", op.in_rows, in, graph_.activation_dtype);
    if (op.residual_out) {
      expect_value(*op.residual_out, "residual_out", op.out_rows, in, DType::float32);
    }
    const bool is_logits =
        op.out_rows == Rows::logit_rows && graph_.value(op.out).dtype == DType::float32;
    expect_value(op.out, "out", op.out_rows, out,
                 is_logits ? DType::float32 : graph_.activation_dtype);
    expect_vector(op.gain, "gain", in);
    if (op.norm_bias) expect_vector(*op.norm_bias, "norm_bias", in);
    expect(!op.norm_bias || op.norm == NormKind::layer, "norm_bias with an rms norm");
    expect_matrix(op.weight, out_features, in);
    if (op.bias) expect_vector(*op.bias, "bias", out_features);
    expect(std::isfinite(op.epsilon) && op.epsilon > 0.0f, "epsilon is not positive");
  }

  void operator()(const Attention& op) const {
    expect(op.num_heads > 0 && op.num_kv_heads > 0 && op.head_dim > 0, "sizes are not positive");
    expect(op.num_heads % op.num_kv_heads == 0, "num_heads is no multiple of num_kv_heads");
    const std::int64_t head_dim = op.head_dim;
    expect_value(op.qkv, "qkv", Rows::tokens,
                 (op.num_heads + std::int64_t{2} * op.num_kv_heads) * head_dim,
                 graph_.activation_dtype);
    expect_value(op.out, "out", Rows::tokens, op.num_heads * head_dim, graph_.activation_dtype);
    if (op.q_norm) expect_vector(*op.q_norm, "q_norm", head_dim);
    if (op.k_norm) expect_vector(*op.k_norm, "k_norm", head_dim);
    expect(!(op.q_norm || op.k_norm) || op.norm_epsilon > 0.0f, "norm_epsilon is not positive");
    expect(std::isfinite(op.scale) && op.scale > 0.0f, "scale is not positive");
    expect(op.window >= 0 && op.logn_length >= 0, "window or logn_length is negative");
    expect(op.logn_length != 1, "logn_length is 1, whose logarithm is 0");
    expect(std::isfinite(op.softcap) && op.softcap >= 0.0f, "softcap is negative");
    if (op.rope) check_rope(*op.rope, op.head_dim);
  }

  void operator()(const Linear& op) const {
    const std::int64_t in = graph_.value(op.in).cols;
    const std::int64_t out = graph_.value(op.out).cols;
    expect_value(op.in, "in", op.rows, in, graph_.activation_dtype);
    expect_value(op.out, "out", op.rows, out, graph_.activation_dtype);
    expect_matrix(op.weight, out, in);
    if (op.bias) expect_vector(*op.bias, "bias", out);
  }

  void operator()(const AllReduce& op) const {
    const Value& in = graph_.value(op.in);
    expect_value(op.out, "out", in.rows, in.cols, in.dtype);
  }

  void operator()(const AllGather& op) const {
    const Value& in = graph_.value(op.in);
    const Value& out = graph_.value(op.out);
    expect_value(op.out, "out", in.rows, out.cols, in.dtype);
    expect(out.cols % in.cols == 0, "out is no multiple of in");
  }

  void operator()(const Sample& op) const {
    expect_value(op.logits, "logits", Rows::logit_rows, graph_.value(op.logits).cols,
                 DType::float32);
  }

  void operator()(const Advance&) const {}

 private:
  void expect(bool condition, std::string_view problem) const {
    if (!condition) fail(ErrorCode::internal, "graph: node '{}': {}", node_.name, problem);
  }

  void expect_value(ValueId id, std::string_view role, Rows rows, std::int64_t cols,
                    DType dtype) const {
    const Value& value = graph_.value(id);
    if (value.rows == rows && value.cols == cols && value.dtype == dtype) return;
    fail(ErrorCode::internal, "graph: node '{}': {} '{}': expected {}, got {}", node_.name, role,
         value.name, type_string({rows, cols, dtype, ""}), type_string(value));
  }

  void expect_weight(WeightId id, std::string_view role, std::optional<std::int64_t> out_features,
                     std::int64_t in_features) const {
    const WeightSpec& spec = graph_.weight(id);
    if (spec.out_features == out_features.value_or(spec.out_features) &&
        spec.in_features == in_features) {
      return;
    }
    fail(ErrorCode::internal, "graph: node '{}': {} '{}': expected [{}, {}], got [{}, {}]",
         node_.name, role, spec.name, out_features ? fmt::to_string(*out_features) : "any",
         in_features, spec.out_features, spec.in_features);
  }

  void expect_use(WeightId id, std::string_view role, WeightUse use) const {
    if (graph_.weight(id).use == use) return;
    fail(ErrorCode::internal, "graph: node '{}': {} '{}' is declared for another use", node_.name,
         role, graph_.weight(id).name);
  }

  void expect_vector(WeightId id, std::string_view role, std::int64_t size) const {
    expect_weight(id, role, 1, size);
    expect_use(id, role, WeightUse::vector);
  }

  /// A matrix, or an embedding that is tied to one.
  void expect_matrix(WeightId id, std::int64_t out_features, std::int64_t in_features) const {
    expect_weight(id, "weight", out_features, in_features);
    if (graph_.weight(id).use == WeightUse::embedding) return;
    expect_use(id, "weight", WeightUse::matrix);
  }

  void check_rope(const Rope& rope, int head_dim) const {
    expect(rope.rotary_dim > 0 && rope.rotary_dim % 2 == 0 && rope.rotary_dim <= head_dim,
           "rotary_dim is not an even number up to head_dim");
    expect(std::isfinite(rope.theta) && rope.theta > 1.0, "rope theta is not above 1");
    expect(std::isfinite(rope.factor) && rope.factor > 0.0, "rope factor is not positive");
    if (rope.type == RopeType::standard || rope.type == RopeType::linear) return;
    expect(rope.original_max_position > 0, "rope original_max_position is not positive");
    if (rope.type == RopeType::llama3) {
      expect(rope.low_freq_factor > 0.0 && rope.high_freq_factor > 0.0,
             "rope low_freq_factor or high_freq_factor is not positive");
    } else if (rope.type == RopeType::longrope) {
      const int num_pairs = rope.rotary_dim / 2;
      const auto is_positive = [](float factor) { return factor > 0.0f; };
      expect(num_pairs <= kMaxLongropePairs &&
                 std::all_of(rope.short_factors.begin(), rope.short_factors.begin() + num_pairs,
                             is_positive) &&
                 std::all_of(rope.long_factors.begin(), rope.long_factors.begin() + num_pairs,
                             is_positive),
             "rope short_factors or long_factors are not positive");
      expect(std::isfinite(rope.attention_factor) && rope.attention_factor > 0.0,
             "rope attention_factor is not positive");
    } else if (rope.type == RopeType::yarn) {
      expect(rope.beta_slow > 0.0 && rope.beta_fast > 0.0,
             "rope beta_fast or beta_slow is not positive");
      expect(std::isfinite(rope.attention_factor) && rope.attention_factor > 0.0,
             "rope attention_factor is not positive");
    } else {
      expect(rope.rotary_dim > 2, "a growing base needs rotary_dim above 2");
    }
  }

  const Graph& graph_;
  const Node& node_;
};

}  // namespace

void validate_op(const Graph& graph, const Node& node) {
  std::visit(NodeChecker(graph, node), node.op);
}

}  // namespace quern
