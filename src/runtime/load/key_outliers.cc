#include "runtime/load/key_outliers.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <variant>
#include <vector>

#include "base/log.h"
#include "graph/kv_vector.h"

namespace quern {
namespace {

constexpr double kMaxError = 0.1;

/// The bias of the node that makes an attention's qkv.
std::optional<WeightId> qkv_bias(const Graph& graph, const Attention& attention) {
  for (const Node& node : graph.nodes) {
    const auto* norm_linear = std::get_if<NormLinear>(&node.op);
    if (norm_linear != nullptr && norm_linear->out == attention.qkv) return norm_linear->bias;
  }
  return std::nullopt;
}

}  // namespace

double smaller_half_error(DType stored, std::span<const float> vector) {
  std::vector<std::byte> numbers(vector.size());
  std::vector<float> back(vector.size());
  const float scale = quantize_kv_vector(stored, vector, numbers.data());
  dequantize_kv_vector(stored, numbers.data(), scale, back);
  std::vector<std::size_t> order(vector.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::fabs(vector[a]) < std::fabs(vector[b]);
  });
  double errors = 0.0;
  double squares = 0.0;
  for (std::size_t k = 0; k < order.size() / 2; ++k) {
    const std::size_t i = order[k];
    errors += std::pow(double{back[i]} - vector[i], 2.0);
    squares += std::pow(double{vector[i]}, 2.0);
  }
  return squares > 0.0 ? std::sqrt(errors / squares) : 0.0;
}

void warn_of_key_outliers(const Graph& graph, std::span<const Weight> weights, Backend& backend,
                          const KvFormat& format) {
  if (!is_scaled(format.keys)) return;
  double worst = 0.0;
  int worst_layer = 0;
  int worst_head = 0;
  for (const Node& node : graph.nodes) {
    const auto* attention = std::get_if<Attention>(&node.op);
    if (attention == nullptr) continue;
    const auto bias = qkv_bias(graph, *attention);
    if (!bias) continue;
    const Tensor& values = weights[static_cast<std::size_t>(*bias)].values;
    const auto size = static_cast<std::size_t>(attention->head_dim);
    std::vector<float> keys(size * static_cast<std::size_t>(attention->num_kv_heads));
    backend.copy_out(keys.data(), values.row<float>(0) + std::int64_t{attention->num_heads} * size,
                     keys.size() * sizeof(float));
    for (int head = 0; head < attention->num_kv_heads; ++head) {
      const auto vector = std::span<const float>(keys).subspan(head * size, size);
      const double error = smaller_half_error(format.keys, vector);
      if (error <= worst) continue;
      worst = error;
      worst_layer = attention->layer;
      worst_head = head;
    }
  }
  if (worst <= kMaxError) return;
  log(LogLevel::warning,
      "keys stored as {}: this model's keys have outliers. In layer {}, kv head {}, quantizing the "
      "key's bias alone changes the smaller half of its elements by {:.0f} %; take a KV cache of "
      "k16v8 or auto, or check the accuracy",
      dtype_name(format.keys), worst_layer, worst_head, 100.0 * worst);
}

}  // namespace quern
