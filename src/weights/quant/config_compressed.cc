// compressed-tensors' quantization_config. Source: compressed-tensors' QuantizationConfig,
// QuantizationScheme and QuantizationArgs.
#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "weights/quant/config.h"
#include "weights/quant/config_keys.h"

namespace quern {
namespace {

constexpr std::string_view kFormats =
    "pack-quantized, int-quantized, float-quantized, naive-quantized or mixed-precision";

/// Rows and inputs of a block: [128, 128] or "128x128".
std::pair<std::int64_t, std::int64_t> read_block(const JsonObject& weights) {
  constexpr std::string_view kKey = "block_structure";
  const Json* value = weights.find(kKey);
  if (value == nullptr || !value->is_string()) {
    const auto sizes = weights.required_integers(kKey, 1, quant::kMaxGroup);
    if (sizes.size() != 2) weights.reject(kKey, "two sizes");
    return {sizes[0], sizes[1]};
  }
  const auto text = value->get<std::string>();
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, rows);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != 'x') {
    weights.reject(kKey, "two sizes, as [128, 128] or \"128x128\"");
  }
  const auto second = std::from_chars(first.ptr + 1, end, cols);
  if (second.ec != std::errc() || second.ptr != end || rows < 1 || cols < 1 ||
      rows > quant::kMaxGroup || cols > quant::kMaxGroup) {
    weights.reject(kKey, "two sizes, as [128, 128] or \"128x128\"");
  }
  return {rows, cols};
}

/// What one scale serves. Without a strategy it follows from the group size.
void read_granularity(const JsonObject& weights, QuantScheme& scheme) {
  const auto size = weights.integer("group_size", -1, quant::kMaxGroup);
  const std::string inferred = !size ? "tensor" : *size > 0 ? "group" : "channel";
  const std::string strategy = weights.string("strategy").value_or(inferred);
  scheme.group_size = 0;
  scheme.group_rows = 1;
  if (strategy == "tensor") {
    scheme.group_rows = 0;
  } else if (strategy == "group") {
    scheme.group_size = weights.required_integer("group_size", 1, quant::kMaxGroup);
  } else if (strategy == "block") {
    std::tie(scheme.group_rows, scheme.group_size) = read_block(weights);
  } else if (strategy != "channel") {
    quant::refuse(weights, "strategy", strategy, "tensor, channel, group or block");
  }
}

/// What inputs are rounded to: dynamic scales of a token or a group of it. Nothing for others:
/// static ones, zero points, other numbers of bits.
std::optional<ActivationFormat> read_inputs(const JsonObject& group) {
  const auto inputs = group.object("input_activations");
  if (!inputs) return ActivationFormat{};
  ActivationFormat format;
  const bool is_float = inputs->string("type").value_or("int") == "float";
  format.rounding = is_float ? ActivationRounding::float8_e4m3 : ActivationRounding::int8;
  const Json* dynamic = inputs->find("dynamic");
  const bool is_dynamic = dynamic != nullptr && dynamic->is_boolean() && dynamic->get<bool>();
  const std::string strategy = inputs->string("strategy").value_or("");
  if (strategy == "group") {
    format.group_size = inputs->integer("group_size", -1, quant::kMaxGroup).value_or(0);
    if (format.group_size < 1) return std::nullopt;
  }
  const bool is_supported = is_dynamic && (strategy == "token" || strategy == "group") &&
                            inputs->integer("num_bits", 1, 64).value_or(8) == 8 &&
                            inputs->boolean("symmetric").value_or(true);
  return is_supported ? std::optional(format) : std::nullopt;
}

QuantScheme read_scheme(const JsonObject& group, const JsonObject& weights,
                        const std::string& format) {
  QuantScheme scheme;
  const std::string type = weights.string("type").value_or("int");
  if (type != "int" && type != "float") weights.reject("type", "int or float");
  scheme.is_float = type == "float";
  scheme.is_symmetric = weights.boolean("symmetric").value_or(true);
  scheme.inputs = read_inputs(group);
  scheme.scale = "weight_scale";
  read_granularity(weights, scheme);
  if (format == "pack-quantized") {
    scheme.layout = QuantLayout::packed_rows;
    if (scheme.is_float) quant::refuse(weights, "type", type, "int for pack-quantized weights");
    scheme.bits = quant::read_bits(weights, "num_bits");
  } else {
    scheme.layout = QuantLayout::elements;
    scheme.bits = quant::read_bits(weights, "num_bits", "8");
    const bool contradicts = (format == "int-quantized" && scheme.is_float) ||
                             (format == "float-quantized" && !scheme.is_float);
    if (contradicts) weights.reject("type", fmt::format("the type of {} weights", format));
  }
  if (scheme.is_float && !scheme.is_symmetric) {
    quant::refuse(weights, "symmetric", "false", "true for float weights");
  }
  return scheme;
}

}  // namespace

void QuantizationConfig::read_group(const JsonObject& group, const std::string& global_format) {
  const auto weights = group.object("weights");
  const std::string format = group.string("format").value_or(global_format);
  std::optional<QuantScheme> scheme;
  if (weights) {
    if (format != "pack-quantized" && format != "int-quantized" && format != "float-quantized" &&
        format != "naive-quantized") {
      quant::refuse(group, "format", format, kFormats);
    }
    scheme = read_scheme(group, *weights, format);
  }
  if (!group.has("targets")) group.reject("targets", "a list of strings");
  for (const std::string& target : quant::read_strings(group, "targets")) {
    rules_.push_back({ModulePattern::target(target, where_), scheme});
  }
}

void QuantizationConfig::read_compressed_tensors(const JsonObject& object) {
  const std::string format = object.required_string("format");
  // A format that no group can have: mixed-precision names one in each.
  if (const auto sparsity = object.object("sparsity_config")) {
    const std::string sparse = sparsity->string("format").value_or("dense");
    if (sparse != "dense") quant::refuse(object, "sparsity_config.format", sparse, "dense");
  }
  const Json* transform = object.find("transform_config");
  if (transform != nullptr && !transform->empty()) {
    quant::refuse(object, "transform_config", "a transformation of activations", "none");
  }
  const auto groups = object.object("config_groups");
  if (!groups || groups->json().empty()) object.reject("config_groups", "groups of modules");
  for (const auto& item : groups->json().items()) {
    const JsonObject group(item.value(), object.file(),
                           fmt::format("quantization_config.config_groups.{}.", item.key()));
    read_group(group, format);
  }
  for (const std::string& name : quant::read_strings(object, "ignore")) {
    excluded_.push_back(ModulePattern::target(name, where_));
  }
  if (object.has("kv_cache_scheme")) {
    log(LogLevel::warning, "{}: kv_cache_scheme: the KV cache stays in the activation dtype",
        where_);
  }
}

}  // namespace quern
